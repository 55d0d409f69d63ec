/*
 * Handles: references, reopening by id, descriptors, raw arguments, the record
 * read again and by an older program, lists, signals, a fork of the host.
 * Arguments: the state directory, the data directory.
 */
#include "check.h"
#include <ctr.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static ctr_error_t *err;

static ctr_container_t *start(ctr_runtime_t *rt, const char *spec, const ctr_run_opts_t *opts)
{
    ctr_container_t *c = NULL;
    int answer = ctr_run(rt, spec, strlen(spec), opts, &c, &err);

    if (answer != CTR_OK)
        fprintf(stderr, "%d: %s\n", answer, ctr_error_message(err));
    CHECK(answer == CTR_OK && c != NULL && strlen(ctr_container_id(c)) == 32);
    return c;
}

static int is_readable(int fd, int ms)
{
    struct pollfd poller = {fd, POLLIN, 0};

    return poll(&poller, 1, ms) == 1;
}

/* The listener of a filter: taken once; closed, the call fails with ENOSYS. */
static void listener(ctr_runtime_t *rt)
{
    const char *spec =
        "{\"args\": [\"sh\", \"-c\", \"! mkdir /tmp/a\"],"
        " \"security\": {\"seccomp\": {\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\":"
        " [{\"names\": [\"mkdir\", \"mkdirat\"], \"action\": \"SCMP_ACT_NOTIFY\"}]}}}";
    ctr_container_t *c = start(rt, spec, NULL);
    ctr_exit_t ex;
    int fd, again = -7;

    CHECK(ctr_container_take_fd(c, CTR_SECCOMP_LISTENER, &fd, &err) == CTR_OK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK(ctr_container_take_fd(c, CTR_SECCOMP_LISTENER, &again, NULL) == CTR_E_NOT_FOUND);
    CHECK(again == -7 && is_readable(fd, 10000) && close(fd) == 0);
    ex.size = sizeof ex;
    CHECK(ctr_wait(c, 10000, &ex, &err) == CTR_OK && ex.code == 0);
    ctr_container_unref(c);
}

/* Raw bytes as arguments and variables; input and output through pipes. */
static void raw_arguments(ctr_runtime_t *rt)
{
    const char *const argv[] = {"sh", "-c", "cat; printf '%s-%s' \"$1\" \"$NAME\"", "sh",
                                "\xff", NULL};
    const char *const envp[] = {"NAME=\xfe", "PATH=/usr/bin:/bin", NULL};
    ctr_run_opts_t opts;
    ctr_container_t *c;
    char text[16];
    size_t have = 0;
    ssize_t got;
    int in, out, again = -7;

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.input.kind = opts.output.kind = CTR_STDIO_PIPE;
    opts.argv = argv;
    opts.envp = envp;
    c = start(rt, "{}", &opts);
    CHECK(ctr_container_take_fd(c, CTR_STDIN, &in, &err) == CTR_OK);
    CHECK(ctr_container_take_fd(c, CTR_STDOUT, &out, &err) == CTR_OK);
    CHECK(ctr_container_take_fd(c, CTR_STDOUT, &again, NULL) == CTR_E_NOT_FOUND);
    CHECK(ctr_container_take_fd(c, CTR_TERMINAL, &again, NULL) == CTR_E_NOT_FOUND);
    CHECK(ctr_container_take_fd(c, CTR_SECCOMP_LISTENER, &again, NULL) == CTR_E_NOT_FOUND);
    CHECK(ctr_container_take_fd(c, 5, &again, NULL) == CTR_E_INVALID && again == -7);
    CHECK((fcntl(in, F_GETFD) & FD_CLOEXEC) && (fcntl(out, F_GETFD) & FD_CLOEXEC));
    CHECK(write(in, "hi ", 3) == 3 && close(in) == 0);
    while ((got = read(out, text + have, sizeof text - have)) > 0)
        have += (size_t)got;
    CHECK(close(out) == 0 && have == 6 && memcmp(text, "hi \xff-\xfe", 6) == 0);
    CHECK(ctr_wait(c, -1, NULL, &err) == CTR_OK);
    ctr_container_unref(c);
}

static void probe(const ctr_runtime_opts_t *where)
{
    const ctr_runtime_opts_t nowhere = {sizeof nowhere, "/proc/nothing", NULL};
    ctr_buf_t buf;

    CHECK(ctr_probe_json(where, &buf, &err) == CTR_OK);
    CHECK(strstr(buf.data, "{\"ability\":\"helper\",\"state\":\"ok\","));
    CHECK(!strstr(buf.data, "\"level\":\"nothing\""));
    ctr_buf_free(&buf);
    CHECK(ctr_probe_json(&nowhere, &buf, &err) == CTR_OK);
    CHECK(strstr(buf.data, "\"level\":\"nothing\""));
    ctr_buf_free(&buf);
}

static void waiting(ctr_runtime_t *rt)
{
    ctr_container_t *c = start(rt, "{\"args\": [\"sleep\", \"60\"]}", NULL);
    ctr_container_t *same = NULL;
    ctr_buf_t buf;
    ctr_exit_t ex;
    struct {
        ctr_exit_t ours;
        uint64_t later;
    } newer;
    int event, pid1;

    ex.size = sizeof ex;
    CHECK(ctr_container_event_fd(c, &event, &err) == CTR_OK);
    CHECK(ctr_container_pidfd(c, &pid1, &err) == CTR_OK);
    CHECK(fcntl(event, F_GETFD) & FD_CLOEXEC && !is_readable(event, 0) && !is_readable(pid1, 0));
    CHECK(ctr_wait(c, 20, &ex, &err) == CTR_PENDING);
    CHECK(ctr_container_state_json(c, &buf, &err) == CTR_OK);
    CHECK(strstr(buf.data, "\"status\":\"running\"") && strstr(buf.data, ctr_container_id(c)));
    ctr_buf_free(&buf);
    CHECK(ctr_list_json(rt, &buf, &err) == CTR_OK && buf.data[0] == '[');
    CHECK(strstr(buf.data, ctr_container_id(c)));
    ctr_buf_free(&buf);

    /* The same container through a second handle. */
    CHECK(ctr_container_open(rt, ctr_container_id(c), &same, &err) == CTR_OK);
    CHECK(strcmp(ctr_container_id(same), ctr_container_id(c)) == 0);
    CHECK(ctr_container_kill(same, 9, 0, &err) == CTR_OK);
    CHECK(is_readable(event, 10000) && is_readable(event, 0));
    CHECK(ctr_wait(c, 0, &ex, &err) == CTR_OK);
    CHECK(ex.outcome == CTR_OUTCOME_SIGNALED && ex.signal == 9 && ex.code == -1);
    CHECK(ex.started_at_ns != CTR_UNKNOWN && ex.wall_ns >= 20000000);
    ex.outcome = 0;
    CHECK(ctr_wait(same, -1, &ex, &err) == CTR_OK && ex.outcome == CTR_OUTCOME_SIGNALED);

    /* A program compiled with fewer fields, and one with more. */
    memset(&ex, 0x55, sizeof ex);
    ex.size = offsetof(ctr_exit_t, started_at_ns);
    CHECK(ctr_wait(c, -1, &ex, &err) == CTR_OK && ex.outcome == CTR_OUTCOME_SIGNALED);
    CHECK(ex.started_at_ns == 0x5555555555555555);
    memset(&newer, 0, sizeof newer);
    newer.ours.size = sizeof newer;
    CHECK(ctr_wait(c, -1, &newer.ours, &err) == CTR_OK && newer.later == CTR_UNKNOWN);

    /* It was removed at its end. */
    CHECK(ctr_container_open(rt, ctr_container_id(c), &same, NULL) == CTR_E_NOT_FOUND);
    CHECK(close(event) == 0 && close(pid1) == 0);
    ctr_container_unref(ctr_container_ref(c));
    CHECK(ctr_wait(c, -1, &ex, &err) == CTR_OK);
    ctr_container_unref(same);
    ctr_container_unref(c);
}

/* A kept container is there after its end, until it is deleted. */
static void kept(ctr_runtime_t *rt)
{
    static const char spec[] = "{\"args\": [\"sh\", \"-c\", \"exit 7\"], \"name\": \"kept\","
                               " \"remove\": false, \"writable\": \"memory\"}";
    ctr_container_t *c = start(rt, spec, NULL), *again = NULL;
    ctr_exit_t ex;
    int event, pid1 = -7;

    ex.size = sizeof ex;
    CHECK(ctr_wait(c, -1, &ex, &err) == CTR_OK && ex.code == 7);
    ex.code = 0;
    CHECK(ctr_container_stop(c, 10000, &ex, &err) == CTR_OK && ex.code == 7);
    CHECK(ctr_run(rt, spec, strlen(spec), NULL, &again, NULL) == CTR_E_EXISTS && again == NULL);
    CHECK(ctr_container_open(rt, "kept", &again, &err) == CTR_OK);
    CHECK(ctr_container_event_fd(again, &event, &err) == CTR_OK && is_readable(event, 0));
    CHECK(ctr_container_pidfd(again, &pid1, NULL) == CTR_E_NOT_RUNNING && pid1 == -7);
    CHECK(ctr_wait(again, 0, &ex, &err) == CTR_OK && ex.code == 7);
    CHECK(ctr_container_delete(again, 0, &err) == CTR_OK);
    ctr_container_unref(again);
    CHECK(ctr_container_open(rt, "kept", &again, NULL) == CTR_E_NOT_FOUND);
    CHECK(close(event) == 0);
    ctr_container_unref(c);
}

static void failures(ctr_runtime_t *rt)
{
    static const char missing[] = "{\"args\": [\"/no/such\"]}";
    static const char no_program[] = "{\"args\": [\"/etc/passwd\"]}";
    ctr_run_opts_t opts;
    ctr_container_t *c = NULL;
    int cancel[2];

    CHECK(ctr_run(rt, missing, strlen(missing), NULL, &c, &err) == CTR_E_PROGRAM_NOT_FOUND);
    CHECK(strcmp(ctr_error_stage(err), "exec") == 0 && ctr_error_errno(err) == 2);
    CHECK(strstr(ctr_error_message(err), "/no/such") && ctr_error_hint(err) != NULL);
    ctr_error_free(err);
    err = NULL;
    CHECK(ctr_run(rt, no_program, strlen(no_program), NULL, &c, NULL) ==
          CTR_E_PROGRAM_NOT_EXECUTABLE);

    CHECK(pipe(cancel) == 0 && close(cancel[1]) == 0);
    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.flags = CTR_RUN_CANCEL_FD;
    opts.cancel_fd = cancel[0];
    CHECK(ctr_run(rt, "{\"args\":[\"sleep\",\"60\"]}", 23, &opts, &c, NULL) == CTR_E_CANCELLED);
    CHECK(close(cancel[0]) == 0 && c == NULL);
}

/* A forked child may free and nothing else; the parent is not disturbed. */
static void forked(ctr_runtime_t *rt)
{
    ctr_container_t *c = start(rt, "{\"args\": [\"sleep\", \"60\"]}", NULL), *other = NULL;
    ctr_exit_t ex;
    ctr_buf_t buf;
    int status, fd;
    pid_t child = fork();

    ex.size = sizeof ex;
    if (child == 0) {
        CHECK(ctr_wait(c, 0, &ex, &err) == CTR_E_FORKED && ctr_error_code(err) == CTR_E_FORKED);
        ctr_error_free(err);
        CHECK(ctr_container_kill(c, 9, 0, NULL) == CTR_E_FORKED);
        CHECK(ctr_container_stop(c, 0, NULL, NULL) == CTR_E_FORKED);
        CHECK(ctr_container_event_fd(c, &fd, NULL) == CTR_E_FORKED);
        CHECK(ctr_container_pidfd(c, &fd, NULL) == CTR_E_FORKED);
        CHECK(ctr_container_take_fd(c, 0, &fd, NULL) == CTR_E_FORKED);
        CHECK(ctr_container_state_json(c, &buf, NULL) == CTR_E_FORKED);
        CHECK(ctr_container_delete(c, CTR_DELETE_FORCE, NULL) == CTR_E_FORKED);
        CHECK(ctr_container_open(rt, ctr_container_id(c), &other, NULL) == CTR_E_FORKED);
        CHECK(ctr_list_json(rt, &buf, NULL) == CTR_E_FORKED);
        CHECK(ctr_run(rt, "{}", 2, NULL, &other, NULL) == CTR_E_FORKED);
        ctr_container_unref(c);
        ctr_runtime_close(rt);
        _exit(42);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(ctr_wait(c, 0, &ex, &err) == CTR_PENDING);
    CHECK(ctr_container_stop(c, 0, &ex, &err) == CTR_OK);
    ctr_container_unref(c);
}

int main(int argc, char **argv)
{
    ctr_runtime_opts_t where = {sizeof where, NULL, NULL};
    ctr_runtime_t *rt;

    CHECK(argc == 3 && ctr_version() == CTR_VERSION);
    where.run = argv[1];
    where.data = argv[2];
    CHECK(ctr_runtime_open(&where, &rt, &err) == CTR_OK);
    probe(&where);
    raw_arguments(rt);
    listener(rt);
    waiting(rt);
    kept(rt);
    failures(rt);
    forked(rt);
    ctr_runtime_close(rt);
    puts("ok");
    return 0;
}

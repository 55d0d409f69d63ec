/*
 * Another program in a container that runs: streams, its own end and record,
 * signals, reopening by id, what is refused.
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

static ctr_process_t *execute(ctr_container_t *c, const char *proc, const ctr_run_opts_t *opts)
{
    ctr_process_t *p = NULL;
    int answer = ctr_container_exec(c, proc, strlen(proc), opts, &p, &err);

    if (answer != CTR_OK)
        fprintf(stderr, "%d: %s\n", answer, ctr_error_message(err));
    CHECK(answer == CTR_OK && p != NULL && strlen(ctr_process_id(p)) == 32);
    return p;
}

static ctr_exit_t ended(ctr_process_t *p)
{
    ctr_exit_t ex;

    memset(&ex, 0, sizeof ex);
    ex.size = sizeof ex;
    CHECK(ctr_process_wait(p, 10000, &ex, &err) == CTR_OK);
    return ex;
}

static void refused(int answer, int code)
{
    CHECK(answer == code && err != NULL && ctr_error_code(err) == code);
    ctr_error_free(err);
    err = NULL;
}

static void streams(ctr_container_t *c)
{
    const char *const argv[] = {"sh", "-c", "cat; echo $NAME >&2; exit 5", NULL};
    const char *const envp[] = {"NAME=raw", NULL};
    ctr_run_opts_t opts;
    ctr_process_t *p;
    ctr_exit_t ex;
    char text[16] = "";
    int fd[3], again = -7, event;

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.input.kind = opts.output.kind = opts.error.kind = CTR_STDIO_PIPE;
    opts.argv = argv;
    opts.envp = envp;
    p = execute(c, "{\"args\": [\"replaced\"]}", &opts);
    CHECK(ctr_process_take_fd(p, CTR_STDIN, &fd[0], &err) == CTR_OK);
    CHECK(ctr_process_take_fd(p, CTR_STDOUT, &fd[1], &err) == CTR_OK);
    CHECK(ctr_process_take_fd(p, CTR_STDERR, &fd[2], &err) == CTR_OK);
    CHECK(ctr_process_take_fd(p, CTR_STDERR, &again, NULL) == CTR_E_NOT_FOUND);
    CHECK(ctr_process_take_fd(p, CTR_TERMINAL, &again, NULL) == CTR_E_NOT_FOUND);
    CHECK(ctr_process_take_fd(p, 9, &again, NULL) == CTR_E_INVALID && again == -7);
    CHECK(ctr_process_wait(p, 0, NULL, &err) == CTR_PENDING);
    CHECK(ctr_process_event_fd(p, &event, &err) == CTR_OK);
    CHECK(fcntl(event, F_GETFD) & FD_CLOEXEC);
    CHECK(write(fd[0], "through", 7) == 7 && close(fd[0]) == 0);
    CHECK(read(fd[1], text, sizeof text) == 7 && memcmp(text, "through", 7) == 0);
    CHECK(read(fd[2], text, sizeof text) == 4 && memcmp(text, "raw\n", 4) == 0);
    ex = ended(p);
    CHECK(ex.outcome == CTR_OUTCOME_EXITED && ex.code == 5);
    CHECK(ex.memory_peak == CTR_UNKNOWN && ex.wall_ns != CTR_UNKNOWN);
    {
        struct pollfd poller = {event, POLLIN, 0};
        CHECK(poll(&poller, 1, 0) == 1);
    }
    CHECK(close(fd[1]) == 0 && close(fd[2]) == 0 && close(event) == 0);
    refused(ctr_process_kill(p, 15, 0, &err), CTR_E_NOT_RUNNING);
    ctr_process_free(p);
}

static void signals(ctr_container_t *c)
{
    ctr_process_t *p = execute(c, "{\"args\": [\"sleep\", \"60\"], \"detach\": true}", NULL);
    ctr_process_t *other = NULL;
    int fd;

    CHECK(ctr_process_open(c, ctr_process_id(p), &other, &err) == CTR_OK);
    CHECK(ctr_process_pidfd(other, &fd, &err) == CTR_OK && close(fd) == 0);
    refused(ctr_process_kill(p, 200, 0, &err), CTR_E_INVALID);
    refused(ctr_process_kill(p, 9, 1, &err), CTR_E_UNSUPPORTED);
    CHECK(ctr_process_kill(other, 9, 0, &err) == CTR_OK);
    CHECK(ended(p).signal == 9 && ended(other).outcome == CTR_OUTCOME_SIGNALED);
    ctr_process_free(other);
    CHECK(ctr_process_open(c, ctr_process_id(p), &other, &err) == CTR_OK);
    refused(ctr_process_pidfd(other, &fd, &err), CTR_E_NOT_RUNNING);
    CHECK(ended(other).signal == 9);
    ctr_process_free(other);
    ctr_process_free(p);
    ctr_process_free(NULL);
}

static void refusals(ctr_container_t *c)
{
    void *const untouched = &err;
    ctr_process_t *p = untouched;
    int fd = -7;

    refused(ctr_container_exec(NULL, "{}", 2, NULL, &p, &err), CTR_E_INVALID);
    refused(ctr_container_exec(c, NULL, 0, NULL, &p, &err), CTR_E_INVALID);
    refused(ctr_container_exec(c, "{}", 2, NULL, &p, &err), CTR_E_INVALID);
    refused(ctr_container_exec(c, "{}", 2, NULL, NULL, &err), CTR_E_INVALID);
    refused(ctr_container_exec(c, "{\"args\":[\"nosuch\"]}", 19, NULL, &p, &err),
            CTR_E_PROGRAM_NOT_FOUND);
    refused(ctr_container_exec(c, "{\"args\":[\"id\"],\"user\":\"nosuch\"}", 31, NULL, &p, &err),
            CTR_E_NOT_FOUND);
    refused(ctr_process_open(c, "nosuch", &p, &err), CTR_E_NOT_FOUND);
    refused(ctr_process_open(c, NULL, &p, &err), CTR_E_INVALID);
    refused(ctr_process_wait(NULL, 0, NULL, &err), CTR_E_INVALID);
    refused(ctr_process_kill(NULL, 9, 0, &err), CTR_E_INVALID);
    refused(ctr_process_event_fd(NULL, &fd, &err), CTR_E_INVALID);
    refused(ctr_process_pidfd(NULL, &fd, &err), CTR_E_INVALID);
    refused(ctr_process_take_fd(NULL, 0, &fd, &err), CTR_E_INVALID);
    CHECK(p == untouched && fd == -7 && ctr_process_id(NULL)[0] == '\0');
}

static void forked(ctr_container_t *c)
{
    ctr_process_t *p = execute(c, "{\"args\": [\"true\"]}", NULL);
    int status;
    pid_t child = fork();

    if (child == 0) {
        int answer = ctr_process_wait(p, -1, NULL, NULL);

        ctr_process_free(p);
        _exit(answer == CTR_E_FORKED ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(ended(p).code == 0);
    ctr_process_free(p);
}

int main(int argc, char **argv)
{
    const char *spec = "{\"args\": [\"sleep\", \"60\"]}";
    ctr_runtime_opts_t opts;
    ctr_runtime_t *rt = NULL;
    ctr_container_t *c = NULL;
    ctr_process_t *p = NULL;

    CHECK(argc == 3);
    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.run = argv[1];
    opts.data = argv[2];
    CHECK(ctr_runtime_open(&opts, &rt, &err) == CTR_OK);
    CHECK(ctr_run(rt, spec, strlen(spec), NULL, &c, &err) == CTR_OK);
    streams(c);
    signals(c);
    refusals(c);
    forked(c);
    CHECK(ctr_container_kill(c, 9, 0, &err) == CTR_OK);
    CHECK(ctr_wait(c, 10000, NULL, &err) == CTR_OK);
    refused(ctr_container_exec(c, "{\"args\":[\"id\"]}", 15, NULL, &p, &err), CTR_E_NOT_RUNNING);
    ctr_container_unref(c);
    ctr_runtime_close(rt);
    puts("ok");
    return 0;
}

/*
 * NULL in every place of every function, sizes that are wrong, numbers out of
 * range: an answer each time, never a crash, and no result written.
 * Arguments: the state directory, the data directory.
 */
#include "check.h"
#include <ctr.h>
#include <string.h>

static ctr_error_t *err;

/* The error is complete and frees; `word` is in its text. */
static void refused(int answer, int code, const char *word)
{
    CHECK(answer == code);
    CHECK(err != NULL);
    CHECK(ctr_error_code(err) == code);
    CHECK(ctr_error_stage(err)[0] != '\0');
    if (strstr(ctr_error_message(err), word) == NULL) {
        fprintf(stderr, "no %s in: %s\n", word, ctr_error_message(err));
        exit(1);
    }
    ctr_error_free(err);
    err = NULL;
}

static void without_handles(void)
{
    void *const untouched = &err;
    ctr_runtime_t *rt = untouched;
    ctr_container_t *c = untouched;
    ctr_buf_t buf = {untouched, 7};
    ctr_exit_t ex;
    int fd = -7;

    memset(&ex, 0, sizeof ex);
    ex.size = sizeof ex;
    refused(ctr_runtime_open(NULL, NULL, &err), CTR_E_INVALID, "out is NULL");
    refused(ctr_probe_json(NULL, NULL, &err), CTR_E_INVALID, "out is NULL");
    refused(ctr_run(NULL, "{}", 2, NULL, &c, &err), CTR_E_INVALID, "rt is NULL");
    refused(ctr_wait(NULL, -1, &ex, &err), CTR_E_INVALID, "c is NULL");
    refused(ctr_spec_validate(NULL, NULL, 0, &buf, &err), CTR_E_INVALID, "spec is NULL");
    refused(ctr_list_json(NULL, &buf, &err), CTR_E_INVALID, "rt is NULL");
    refused(ctr_container_open(NULL, "x", &c, &err), CTR_E_INVALID, "rt is NULL");
    refused(ctr_container_kill(NULL, 9, 0, &err), CTR_E_INVALID, "c is NULL");
    refused(ctr_container_stop(NULL, 0, &ex, &err), CTR_E_INVALID, "c is NULL");
    refused(ctr_container_event_fd(NULL, &fd, &err), CTR_E_INVALID, "c is NULL");
    refused(ctr_container_pidfd(NULL, &fd, &err), CTR_E_INVALID, "c is NULL");
    refused(ctr_container_take_fd(NULL, 1, &fd, &err), CTR_E_INVALID, "c is NULL");
    refused(ctr_container_state_json(NULL, &buf, &err), CTR_E_INVALID, "c is NULL");
    refused(ctr_container_delete(NULL, 0, &err), CTR_E_INVALID, "c is NULL");
    /* The code comes without an error object as well. */
    CHECK(ctr_runtime_open(NULL, NULL, NULL) == CTR_E_INVALID);
    CHECK(ctr_wait(NULL, -1, NULL, NULL) == CTR_E_INVALID);

    CHECK(rt == untouched && c == untouched && fd == -7);
    CHECK(buf.data == untouched && buf.len == 7 && ex.outcome == 0);

    CHECK(ctr_error_code(NULL) == 0 && ctr_error_errno(NULL) == 0);
    CHECK(ctr_error_stage(NULL)[0] == '\0' && ctr_error_message(NULL)[0] == '\0');
    CHECK(ctr_error_hint(NULL) == NULL);
    CHECK(ctr_container_ref(NULL) == NULL && ctr_container_id(NULL)[0] == '\0');
    ctr_error_free(NULL);
    ctr_buf_free(NULL);
    ctr_container_unref(NULL);
    ctr_runtime_close(NULL);
}

static void with_handles(const char *run, const char *data)
{
    static const char spec[] = "{\"args\": [\"sleep\", \"60\"]}";
    ctr_runtime_opts_t where = {0, run, data};
    ctr_run_opts_t opts;
    ctr_runtime_t *rt = NULL;
    ctr_container_t *c = NULL;
    ctr_exit_t ex;
    ctr_buf_t buf = {NULL, 0};

    refused(ctr_runtime_open(&where, &rt, &err), CTR_E_INVALID, "opts->size is 0");
    where.size = sizeof where;
    CHECK(ctr_runtime_open(&where, &rt, &err) == CTR_OK && err == NULL);

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    refused(ctr_run(rt, NULL, 5, NULL, &c, &err), CTR_E_INVALID, "spec is NULL");
    refused(ctr_run(rt, spec, strlen(spec), NULL, NULL, &err), CTR_E_INVALID, "out is NULL");
    refused(ctr_run(rt, "{\"argz\": 1}", 11, NULL, &c, &err), CTR_E_INVALID, "argz");
    refused(ctr_run(rt, spec, (size_t)-1, NULL, &c, &err), CTR_E_INVALID, "bytes");
    opts.flags = 2;
    refused(ctr_run(rt, spec, strlen(spec), &opts, &c, &err), CTR_E_UNSUPPORTED, "flags");
    opts.flags = 0;
    opts.output.kind = 77;
    refused(ctr_run(rt, spec, strlen(spec), &opts, &c, &err), CTR_E_UNSUPPORTED, "output.kind");
    opts.output.kind = CTR_STDIO_FD;
    opts.output.fd = 987654;
    refused(ctr_run(rt, spec, strlen(spec), &opts, &c, &err), CTR_E_INVALID, "EBADF");
    opts.output.fd = -1;
    refused(ctr_run(rt, spec, strlen(spec), &opts, &c, &err), CTR_E_INVALID, "no descriptor");
    CHECK(c == NULL);

    CHECK(ctr_run(rt, spec, strlen(spec), NULL, &c, &err) == CTR_OK && err == NULL);
    memset(&ex, 0, sizeof ex);
    refused(ctr_wait(c, 0, &ex, &err), CTR_E_INVALID, "ex->size is 0");
    ex.size = sizeof ex;
    refused(ctr_wait(c, -2, &ex, &err), CTR_E_INVALID, "timeout_ms is -2");
    CHECK(ctr_wait(c, 0, &ex, &err) == CTR_PENDING && err == NULL && ex.outcome == 0);
    refused(ctr_container_event_fd(c, NULL, &err), CTR_E_INVALID, "fd is NULL");
    refused(ctr_container_pidfd(c, NULL, &err), CTR_E_INVALID, "fd is NULL");
    refused(ctr_container_take_fd(c, 1, NULL, &err), CTR_E_INVALID, "fd is NULL");
    refused(ctr_container_state_json(c, NULL, &err), CTR_E_INVALID, "out is NULL");
    refused(ctr_list_json(rt, NULL, &err), CTR_E_INVALID, "out is NULL");
    refused(ctr_container_open(rt, NULL, &c, &err), CTR_E_INVALID, "id is NULL");
    refused(ctr_container_open(rt, "x", NULL, &err), CTR_E_INVALID, "out is NULL");
    refused(ctr_container_open(rt, "no-such", &c, &err), CTR_E_NOT_FOUND, "no-such");
    refused(ctr_container_kill(c, 999, 0, &err), CTR_E_INVALID, "999");
    refused(ctr_container_kill(c, 9, 4, &err), CTR_E_UNSUPPORTED, "flags");
    refused(ctr_container_stop(c, -1, &ex, &err), CTR_E_INVALID, "grace_ms is -1");
    refused(ctr_container_delete(c, 0, &err), CTR_E_BUSY, "is running");

    /* NULL where it is allowed. */
    CHECK(ctr_spec_validate(NULL, spec, strlen(spec), NULL, &err) == CTR_OK);
    CHECK(ctr_spec_validate(rt, spec, strlen(spec), &buf, NULL) == CTR_OK);
    CHECK(strlen(buf.data) == buf.len && strstr(buf.data, "\"schema\":1") != NULL);
    ctr_buf_free(&buf);
    CHECK(buf.data == NULL && buf.len == 0);
    ctr_buf_free(&buf);
    CHECK(ctr_container_stop(c, 0, NULL, NULL) == CTR_OK);
    CHECK(ctr_wait(c, -1, NULL, NULL) == CTR_OK);
    refused(ctr_container_kill(c, 9, 0, &err), CTR_E_NOT_RUNNING, "not running");
    ctr_container_unref(c);
    ctr_runtime_close(rt);
}

int main(int argc, char **argv)
{
    CHECK(argc == 3);
    without_handles();
    with_handles(argv[1], argv[2]);
    puts("ok");
    return 0;
}

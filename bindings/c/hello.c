/*
 * The README's example: run a command isolated and limited, print what it
 * printed, how it ended and what it used.
 *
 *     cc hello.c -o hello $(pkg-config --cflags --libs libctr)
 */
#include <ctr.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char spec[] =
    "{\"args\": [\"sh\", \"-c\", \"echo hello from $(hostname)\"], \"hostname\": \"box\","
    " \"limits\": {\"memory\": \"64M\", \"pids\": 32, \"wall_time\": 10}}";

static int failed(ctr_error_t *err)
{
    fprintf(stderr, "hello: %s\n", ctr_error_message(err));
    ctr_error_free(err);
    return 125;
}

int main(int argc, char **argv)
{
    ctr_runtime_opts_t where = {sizeof where, argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL};
    ctr_run_opts_t opts;
    ctr_exit_t end;
    ctr_runtime_t *runtime;
    ctr_container_t *container;
    ctr_error_t *err = NULL;
    char chunk[4096];
    ssize_t got;
    int out;

    memset(&opts, 0, sizeof opts);
    opts.size = sizeof opts;
    opts.output.kind = CTR_STDIO_PIPE;
    opts.error.kind = CTR_STDIO_INHERIT;
    end.size = sizeof end;

    if (ctr_runtime_open(&where, &runtime, &err) < 0)
        return failed(err);
    if (ctr_run(runtime, spec, strlen(spec), &opts, &container, &err) < 0)
        return failed(err);
    if (ctr_container_take_fd(container, CTR_STDOUT, &out, &err) < 0)
        return failed(err);
    while ((got = read(out, chunk, sizeof chunk)) > 0)
        fwrite(chunk, 1, (size_t)got, stdout);
    close(out);
    if (ctr_wait(container, -1, &end, &err) < 0)
        return failed(err);

    printf("%s %d\n", ctr_outcome_name(end.outcome), (int)end.code);
    if (end.memory_peak != CTR_UNKNOWN)
        printf("memory peak: %" PRIu64 " bytes\n", end.memory_peak);
    ctr_container_unref(container);
    ctr_runtime_close(runtime);
    return 0;
}

/*
 * Limits, and telling the truth about them: a program that wants more memory
 * than it may have, and one that runs too long.
 *
 *     cc limits.c -o limits $(pkg-config --cflags --libs libctr)
 */
#include <ctr.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char hungry[] =
    "{\"args\": [\"sh\", \"-c\", \"x=x; while true; do x=$x$x; done\"],"
    " \"limits\": {\"memory\": \"16M\", \"wall_time\": 30}}";
static const char endless[] =
    "{\"args\": [\"sleep\", \"60\"], \"limits\": {\"wall_time\": 0.2}}";

static int failed(ctr_error_t *err)
{
    fprintf(stderr, "limits: %s\n", ctr_error_message(err));
    ctr_error_free(err);
    return 125;
}

/* Runs a document to its end. */
static int run(ctr_runtime_t *runtime, const char *spec)
{
    ctr_container_t *container;
    ctr_error_t *err = NULL;
    ctr_exit_t end;

    end.size = sizeof end;
    if (ctr_run(runtime, spec, strlen(spec), NULL, &container, &err) < 0)
        return failed(err);
    if (ctr_wait(container, -1, &end, &err) < 0)
        return failed(err);
    printf("%s, signal %d\n", ctr_outcome_name(end.outcome), (int)end.signal);
    if (end.outcome == CTR_OUTCOME_OOM_KILLED)
        printf("out of memory: peak %" PRIu64 " bytes, %" PRIu64 " killed\n", end.memory_peak,
               end.oom_kills);
    if (end.outcome == CTR_OUTCOME_WALL_TIMEOUT)
        printf("out of time: %" PRIu64 " ms\n", end.wall_ns / 1000000);
    ctr_container_unref(container);
    return 0;
}

int main(int argc, char **argv)
{
    ctr_runtime_opts_t where = {sizeof where, argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL};
    ctr_runtime_t *runtime;
    ctr_error_t *err = NULL;
    int code;

    if (ctr_runtime_open(&where, &runtime, &err) < 0)
        return failed(err);
    code = run(runtime, hungry);
    if (code == 0)
        code = run(runtime, endless);
    ctr_runtime_close(runtime);
    return code;
}

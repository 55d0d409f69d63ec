/*
 * A host that reaps all children and counts SIGCHLD, as servers and inits do:
 * it must never meet a process of ours, and ctr_wait must not need to be a
 * parent. A child of the host's own shows that the reaper works.
 * Arguments: the state directory, the data directory.
 */
#include "check.h"
#include <ctr.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t signals;
static volatile sig_atomic_t reaped;

static void on_child(int number)
{
    int status, saved = errno;

    (void)number;
    signals++;
    while (waitpid(-1, &status, WNOHANG) > 0)
        reaped++;
    errno = saved;
}

int main(int argc, char **argv)
{
    static const char spec[] = "{\"args\": [\"sh\", \"-c\", \"sleep 0.01 & exit 3\"]}";
    ctr_runtime_opts_t where = {sizeof where, NULL, NULL};
    ctr_runtime_t *rt;
    ctr_container_t *c;
    ctr_exit_t ex;
    struct sigaction action;
    int round, status;
    pid_t child;

    CHECK(argc == 3);
    where.run = argv[1];
    where.data = argv[2];
    memset(&action, 0, sizeof action);
    action.sa_handler = on_child;
    CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
    ex.size = sizeof ex;
    CHECK(ctr_runtime_open(&where, &rt, NULL) == CTR_OK);
    for (round = 0; round < 20; round++) {
        CHECK(ctr_run(rt, spec, strlen(spec), NULL, &c, NULL) == CTR_OK);
        CHECK(waitpid(-1, &status, WNOHANG | __WALL) == -1 && errno == ECHILD);
        CHECK(ctr_wait(c, -1, &ex, NULL) == CTR_OK);
        CHECK(ex.outcome == CTR_OUTCOME_EXITED && ex.code == 3);
        CHECK(waitpid(-1, &status, WNOHANG | __WALL) == -1 && errno == ECHILD);
        ctr_container_unref(c);
    }
    CHECK(signals == 0 && reaped == 0);
    ctr_runtime_close(rt);

    child = fork();
    CHECK(child >= 0);
    if (child == 0)
        _exit(0);
    while (reaped == 0)
        usleep(1000);
    CHECK(signals == 1 && reaped == 1);
    puts("ok");
    return 0;
}

/*
 * Loading and unloading the library a hundred times, also with a container
 * run in between, leaves descriptors, threads, children, signal mask and
 * handlers as they were.
 * Arguments: the library, the state directory, the data directory.
 */
#include "check.h"
#include <ctr.h>
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <string.h>

static int entries(const char *directory)
{
    DIR *dir = opendir(directory);
    int count = 0;

    CHECK(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* dlsym gives an object pointer; POSIX says that it holds a function's. */
#define FUNCTION(name)                                        \
    do {                                                      \
        void *address = dlsym(library, #name);                \
        CHECK(address != NULL);                               \
        memcpy(&p_##name, &address, sizeof address);          \
    } while (0)

static void once(const char *path, const ctr_runtime_opts_t *where, int run)
{
    static const char spec[] = "{\"args\": [\"true\"]}";
    uint32_t (*p_ctr_version)(void);
    int (*p_ctr_runtime_open)(const ctr_runtime_opts_t *, ctr_runtime_t **, ctr_error_t **);
    int (*p_ctr_run)(ctr_runtime_t *, const char *, size_t, const ctr_run_opts_t *,
                     ctr_container_t **, ctr_error_t **);
    int (*p_ctr_wait)(ctr_container_t *, int64_t, ctr_exit_t *, ctr_error_t **);
    void (*p_ctr_container_unref)(ctr_container_t *);
    void (*p_ctr_runtime_close)(ctr_runtime_t *);
    ctr_runtime_t *rt;
    ctr_container_t *c;
    ctr_exit_t ex;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(library != NULL);
    FUNCTION(ctr_version);
    CHECK(p_ctr_version() == CTR_VERSION);
    if (run) {
        FUNCTION(ctr_runtime_open);
        FUNCTION(ctr_run);
        FUNCTION(ctr_wait);
        FUNCTION(ctr_container_unref);
        FUNCTION(ctr_runtime_close);
        ex.size = sizeof ex;
        CHECK(p_ctr_runtime_open(where, &rt, NULL) == CTR_OK);
        CHECK(p_ctr_run(rt, spec, strlen(spec), NULL, &c, NULL) == CTR_OK);
        CHECK(p_ctr_wait(c, -1, &ex, NULL) == CTR_OK && ex.code == 0);
        p_ctr_container_unref(c);
        p_ctr_runtime_close(rt);
    }
    CHECK(dlclose(library) == 0);
}

int main(int argc, char **argv)
{
    ctr_runtime_opts_t where = {sizeof where, NULL, NULL};
    struct sigaction action;
    sigset_t before, after;
    int round, descriptors, threads, number;

    CHECK(argc == 4);
    where.run = argv[2];
    where.data = argv[3];
    CHECK(sigprocmask(SIG_SETMASK, NULL, &before) == 0);
    descriptors = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    for (round = 0; round < 100; round++)
        once(argv[1], &where, round % 10 == 0);
    CHECK(entries("/proc/self/task") == threads);
    /* The helper's program, a sealed memory file, is kept for the next run. */
    CHECK(entries("/proc/self/fd") - descriptors <= 1);
    CHECK(sigprocmask(SIG_SETMASK, NULL, &after) == 0);
    for (number = 1; number < 32; number++) {
        CHECK(sigismember(&before, number) == sigismember(&after, number));
        CHECK(sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    }
    puts("ok");
    return 0;
}

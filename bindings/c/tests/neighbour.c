/*
 * Two static Rust libraries in one program: ours and tests/neighbour.rs.
 * Arguments: the state directory, the data directory.
 */
#include "check.h"
#include <ctr.h>
#include <string.h>

int neighbour(void);

int main(int argc, char **argv)
{
    static const char spec[] = "{\"args\": [\"sh\", \"-c\", \"exit 6\"]}";
    ctr_runtime_opts_t where = {sizeof where, NULL, NULL};
    ctr_runtime_t *rt;
    ctr_container_t *c;
    ctr_exit_t ex;

    CHECK(argc == 3 && neighbour() == 7);
    where.run = argv[1];
    where.data = argv[2];
    ex.size = sizeof ex;
    CHECK(ctr_runtime_open(&where, &rt, NULL) == CTR_OK);
    CHECK(ctr_run(rt, spec, strlen(spec), NULL, &c, NULL) == CTR_OK);
    CHECK(ctr_wait(c, -1, &ex, NULL) == CTR_OK && ex.code == 6);
    ctr_container_unref(c);
    ctr_runtime_close(rt);
    CHECK(neighbour() == 7);
    puts("ok");
    return 0;
}

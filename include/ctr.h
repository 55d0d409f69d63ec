/*
 * libctr: a container runtime as a library. C99, C11, C++.
 *
 * Rules for all functions
 *
 * Pointers. Where a comment says that NULL is allowed it is; elsewhere NULL
 * is CTR_E_INVALID, never a crash. Any other pointer must point to what its
 * type says until the call returns. Everything given is copied.
 *
 * Return values of functions that can fail: 0 (CTR_OK) is done; positive is
 * no error but not done either (CTR_PENDING); negative is a code CTR_E_...,
 * whose number never changes. Results are written only on CTR_OK. The last
 * argument, `err`, may be NULL; on failure, and only then, it receives an
 * error that the caller frees with ctr_error_free.
 *
 * Ownership. What a function puts into `*out` is the caller's: runtimes are
 * closed, containers unreferenced, documents and errors freed by the function
 * that their type names, never by free(). A `const char *` that is returned
 * belongs to the handle it came from and lives as long. Descriptors that are
 * given stay the caller's; those that are handed out are the caller's to
 * close, and close-on-exec.
 *
 * Structures that begin with `size` can grow: set `size` to sizeof, set the
 * rest to zero, which always means the default.
 *
 * Threads. Every function may be called from any thread, on the same handle
 * at the same time too; only what frees a handle must be its last use. The
 * library starts no threads and never touches signals, SIGCHLD, children,
 * working directory, umask or environment of the process.
 *
 * fork. In a forked child every call with a handle of the parent answers
 * CTR_E_FORKED, except those that free.
 */


#ifndef CTR_H
#define CTR_H

#include <stddef.h>
#include <stdint.h>

/* The result must not be dropped. */
#if defined(__GNUC__)
#define CTR_MUST_USE __attribute__((warn_unused_result))
#else
#define CTR_MUST_USE
#endif


/**
 * Major version of this header.
 */
#define CTR_VERSION_MAJOR 0

/**
 * Minor version of this header.
 */
#define CTR_VERSION_MINOR 1

/**
 * Patch version of this header.
 */
#define CTR_VERSION_PATCH 0

/**
 * Version of this header as one number, as `ctr_version` packs it.
 */
#define CTR_VERSION (((CTR_VERSION_MAJOR << 16) | (CTR_VERSION_MINOR << 8)) | CTR_VERSION_PATCH)

/**
 * The call has done what it says.
 */
#define CTR_OK 0

/**
 * Not an error: the time has passed before the event.
 */
#define CTR_PENDING 1

/**
 * The caller's input is wrong: NULL, a number out of range, an unknown key.
 */
#define CTR_E_INVALID -1

/**
 * The image, container, user, directory or stream does not exist.
 */
#define CTR_E_NOT_FOUND -2

/**
 * The name is taken.
 */
#define CTR_E_EXISTS -3

/**
 * The object is in use, for example a container that still runs.
 */
#define CTR_E_BUSY -4

/**
 * The kernel or the file system refuses permission.
 */
#define CTR_E_DENIED -5

/**
 * This kernel, machine or version of the library cannot do it.
 */
#define CTR_E_UNSUPPORTED -6

/**
 * The program does not exist in the container (shells say 127).
 */
#define CTR_E_PROGRAM_NOT_FOUND -7

/**
 * The program exists but cannot be executed (shells say 126).
 */
#define CTR_E_PROGRAM_NOT_EXECUTABLE -8

/**
 * Setting the container up failed for another reason of the system.
 */
#define CTR_E_SETUP -9

/**
 * The time given for the call ran out.
 */
#define CTR_E_TIMEOUT -10

/**
 * The caller cancelled the call.
 */
#define CTR_E_CANCELLED -11

/**
 * A defect of libctr.
 */
#define CTR_E_INTERNAL -12

/**
 * The container has ended.
 */
#define CTR_E_NOT_RUNNING -13

/**
 * The handle was made before this process was forked.
 */
#define CTR_E_FORKED -14

/**
 * A defect of libctr: a panic was caught.
 */
#define CTR_E_PANIC -15

/**
 * The null device.
 */
#define CTR_STDIO_NULL 0

/**
 * The host's own stream of the same number.
 */
#define CTR_STDIO_INHERIT 1

/**
 * A new pipe, whose other end `ctr_container_take_fd` gives.
 */
#define CTR_STDIO_PIPE 2

/**
 * Output and error only: the container's log in the state directory.
 */
#define CTR_STDIO_LOG 3

/**
 * The descriptor in `fd`. It is duplicated and stays the caller's.
 */
#define CTR_STDIO_FD 4

/**
 * `ctr_run_opts_t.flags`: `cancel_fd` is set.
 */
#define CTR_RUN_CANCEL_FD 1

/**
 * The program ended by itself, with `code`.
 */
#define CTR_OUTCOME_EXITED 1

/**
 * A signal ended the program: `signal`.
 */
#define CTR_OUTCOME_SIGNALED 2

/**
 * The kernel killed the program because the memory limit was reached.
 */
#define CTR_OUTCOME_OOM_KILLED 3

/**
 * `limits.wall_time` had passed.
 */
#define CTR_OUTCOME_WALL_TIMEOUT 4

/**
 * `limits.cpu_time` was used up.
 */
#define CTR_OUTCOME_CPU_TIMEOUT 5

/**
 * The program wrote more than `limits.output`.
 */
#define CTR_OUTCOME_OUTPUT_LIMIT 6

/**
 * The program failed after `limits.pids` had refused it a process.
 */
#define CTR_OUTCOME_PIDS_LIMIT 7

/**
 * The caller ended it, or its host went away.
 */
#define CTR_OUTCOME_CANCELLED 8

/**
 * The container's helper was killed before it could tell how it ended.
 */
#define CTR_OUTCOME_LOST 9

/**
 * A figure that was not measured on this machine. It is never 0 instead.
 */
#define CTR_UNKNOWN 18446744073709551615ull

/**
 * `ctr_container_delete`: kill it first if it runs.
 */
#define CTR_DELETE_FORCE 1

/**
 * `ctr_container_take_fd`: the end to write standard input to.
 */
#define CTR_STDIN 0

/**
 * `ctr_container_take_fd`: the end to read standard output from.
 */
#define CTR_STDOUT 1

/**
 * `ctr_container_take_fd`: the end to read standard error from.
 */
#define CTR_STDERR 2

/**
 * `ctr_container_take_fd`: the master of the terminal.
 */
#define CTR_TERMINAL 3

/**
 * `ctr_container_take_fd`: the listener of a seccomp profile with
 * `SCMP_ACT_NOTIFY`, for the requests of seccomp_unotify(2). Once it is
 * closed, calls that wait for an answer fail with ENOSYS.
 */
#define CTR_SECCOMP_LISTENER 4

/**
 * A container. Reference-counted; all threads may use it at the same time.
 */
typedef struct ctr_container_t ctr_container_t;

/**
 * Why a call failed. Free it with `ctr_error_free`.
 */
typedef struct ctr_error_t ctr_error_t;

/**
 * A program that was executed in a container that ran. All threads may use
 * it at the same time.
 */
typedef struct ctr_process_t ctr_process_t;

/**
 * A state directory and a data directory. Any number may be open, also of
 * the same directories; all threads may use one at the same time.
 */
typedef struct ctr_runtime_t ctr_runtime_t;

/**
 * A document that the library returned. Free it with `ctr_buf_free`, never
 * with `free`.
 */
typedef struct ctr_buf_t {
  /**
   * The text, UTF-8, followed by a NUL.
   */
  char *data;
  /**
   * Bytes without the NUL.
   */
  size_t len;
} ctr_buf_t;

/**
 * Where `ctr_runtime_open` finds its things. Set `size`, zero the rest.
 */
typedef struct ctr_runtime_opts_t {
  /**
   * `sizeof(ctr_runtime_opts_t)`.
   */
  size_t size;
  /**
   * State of containers. NULL: `/run/libctr` as root, else
   * `$XDG_RUNTIME_DIR/libctr`.
   */
  const char *run;
  /**
   * Images and upper layers. NULL: `/var/lib/libctr` as root, else
   * `$XDG_DATA_HOME/libctr`.
   */
  const char *data;
} ctr_runtime_opts_t;

/**
 * One standard stream of a program. Zero: the null device.
 */
typedef struct ctr_stdio_t {
  /**
   * One of `CTR_STDIO_...`.
   */
  uint32_t kind;
  /**
   * For `CTR_STDIO_FD` only.
   */
  int32_t fd;
} ctr_stdio_t;

/**
 * What a run needs besides its document. Set `size`, zero the rest; zero is
 * always the default.
 */
typedef struct ctr_run_opts_t {
  /**
   * `sizeof(ctr_run_opts_t)`.
   */
  size_t size;
  /**
   * `CTR_RUN_...` together.
   */
  uint64_t flags;
  /**
   * Standard input of the program.
   */
  struct ctr_stdio_t input;
  /**
   * Standard output of the program.
   */
  struct ctr_stdio_t output;
  /**
   * Standard error of the program.
   */
  struct ctr_stdio_t error;
  /**
   * With `CTR_RUN_CANCEL_FD`: when it becomes readable the start is given
   * up and undone, and `ctr_run` answers `CTR_E_CANCELLED`.
   */
  int32_t cancel_fd;
  /**
   * Rows of the terminal if the document says `"tty": true`; 0 leaves the
   * kernel's default.
   */
  uint16_t rows;
  /**
   * Columns of the terminal.
   */
  uint16_t columns;
  /**
   * Arguments, ending in NULL; they replace `args` of the document and may
   * be any bytes. NULL: those of the document.
   */
  const char *const *argv;
  /**
   * Variables as `NAME=value`, ending in NULL; they replace `env` of the
   * document. NULL: those of the document.
   */
  const char *const *envp;
} ctr_run_opts_t;

/**
 * How a container ended, and what all its processes together used. Set
 * `size` before the call.
 */
typedef struct ctr_exit_t {
  /**
   * `sizeof(ctr_exit_t)`; not changed.
   */
  size_t size;
  /**
   * One of `CTR_OUTCOME_...`; numbers above those are of later versions.
   */
  int32_t outcome;
  /**
   * The program's exit code, 0 to 255; -1 if it has none.
   */
  int32_t code;
  /**
   * The signal that ended the program; 0 if none did.
   */
  int32_t signal;
  /**
   * 1 if a core was dumped, else 0.
   */
  int32_t core_dumped;
  /**
   * When the program was executed: nanoseconds since 1970 (UTC).
   */
  uint64_t started_at_ns;
  /**
   * When everything had ended: nanoseconds since 1970 (UTC).
   */
  uint64_t ended_at_ns;
  /**
   * Nanoseconds from exec to the end of the last process.
   */
  uint64_t wall_ns;
  /**
   * Nanoseconds of CPU time in user mode.
   */
  uint64_t cpu_user_ns;
  /**
   * Nanoseconds of CPU time in the kernel.
   */
  uint64_t cpu_system_ns;
  /**
   * Most bytes of memory at one time.
   */
  uint64_t memory_peak;
  /**
   * Processes that the kernel killed because memory had run out.
   */
  uint64_t oom_kills;
  /**
   * Most processes and threads at one time.
   */
  uint64_t pids_peak;
  /**
   * How often `limits.pids` refused a process.
   */
  uint64_t pids_refused;
  /**
   * Bytes read from block devices.
   */
  uint64_t io_read;
  /**
   * Bytes written to block devices.
   */
  uint64_t io_written;
  /**
   * Nanoseconds from the call of `ctr_run` to exec.
   */
  uint64_t started_in_ns;
} ctr_exit_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Version of the library that was loaded: major << 16 | minor << 8 | patch.
 *
 * Compare it with `CTR_VERSION`, the version that the program was compiled
 * with. Cannot fail.
 */
uint32_t ctr_version(void);

/**
 * The code of an error: one of `CTR_E_...`, what the failed call returned.
 * 0 for NULL.
 */
int ctr_error_code(const struct ctr_error_t *e);

/**
 * The kernel's error number behind an error, or 0 if there is none.
 */
int ctr_error_errno(const struct ctr_error_t *e);

/**
 * The step of the pipeline that failed, one of: `spec image rootfs process
 * launch network filesystem user chdir exec cgroup wait state`.
 *
 * Lives as long as the error. Empty for NULL.
 */
const char *ctr_error_stage(const struct ctr_error_t *e);

/**
 * The whole text for people: step, call with its arguments, error number,
 * hint. Its wording may change between versions.
 *
 * Lives as long as the error. Empty for NULL.
 */
const char *ctr_error_message(const struct ctr_error_t *e);

/**
 * What would help (a sysctl, a package, an option), or NULL if nothing is
 * known. The message has it too.
 *
 * Lives as long as the error.
 */
const char *ctr_error_hint(const struct ctr_error_t *e);

/**
 * Frees an error. NULL is allowed.
 */
void ctr_error_free(struct ctr_error_t *e);

/**
 * Frees what a document holds and empties it: freeing it again does nothing.
 * NULL is allowed.
 */
void ctr_buf_free(struct ctr_buf_t *b);

/**
 * Checks a document and starts nothing.
 *
 * `rt` may be NULL; it is there for checks against a machine's images in
 * later versions. `spec` is a document of `len` bytes as in `ctr_run`.
 * `normal` may be NULL; otherwise it receives the document with every key
 * and every default, the caller's, to be freed with `ctr_buf_free`.
 *
 * Errors: `CTR_E_INVALID` at stage `spec`; the message begins with the path
 * of the wrong value.
 */
CTR_MUST_USE
int ctr_spec_validate(struct ctr_runtime_t *rt,
                      const char *spec,
                      size_t len,
                      struct ctr_buf_t *normal,
                      struct ctr_error_t **err);

/**
 * Opens the state directory: makes it where it is missing and removes what
 * hosts that were killed have left there.
 *
 * `opts` may be NULL: the default directories. `*out` is the caller's; close
 * it with `ctr_runtime_close`. Errors: stage `state`.
 */
CTR_MUST_USE
int ctr_runtime_open(const struct ctr_runtime_opts_t *opts,
                     struct ctr_runtime_t **out,
                     struct ctr_error_t **err);

/**
 * Frees a runtime. Its containers go on, and their handles stay valid. NULL
 * is allowed. No other thread may be using it.
 */
void ctr_runtime_close(struct ctr_runtime_t *rt);

/**
 * Runs a container: returns as soon as its program was executed.
 *
 * `spec` is a RunSpec document of `len` bytes, JSON in UTF-8, for example
 * `{"args": ["echo", "hello"], "limits": {"memory": "64M"}}`; it needs no
 * NUL. `opts` may be NULL. Everything is copied before the call returns.
 *
 * The container ends when this process ends, unless the document says
 * `"detach": true`. `*out` is the caller's; release it with
 * `ctr_container_unref`, which never ends the container.
 *
 * Errors: the stage that failed; nothing is left of the container then. Of
 * interest: `CTR_E_INVALID` (the message begins with the path of the wrong
 * value), `CTR_E_PROGRAM_NOT_FOUND`, `CTR_E_PROGRAM_NOT_EXECUTABLE`,
 * `CTR_E_UNSUPPORTED` (a limit cannot be enforced here), `CTR_E_CANCELLED`.
 */
CTR_MUST_USE
int ctr_run(struct ctr_runtime_t *rt,
            const char *spec,
            size_t len,
            const struct ctr_run_opts_t *opts,
            struct ctr_container_t **out,
            struct ctr_error_t **err);

/**
 * Opens a container that exists: by name, id, or the beginning of its id.
 * Works in any process, also for one that has ended and is kept.
 *
 * `*out` is the caller's; release it with `ctr_container_unref`. Errors:
 * `CTR_E_NOT_FOUND`, or `CTR_E_INVALID` if several ids begin so.
 */
CTR_MUST_USE
int ctr_container_open(struct ctr_runtime_t *rt,
                       const char *id,
                       struct ctr_container_t **out,
                       struct ctr_error_t **err);

/**
 * All containers of the state directory, the oldest first: a JSON array of
 * what `ctr_container_state_json` says of each.
 *
 * `*out` is the caller's; free it with `ctr_buf_free`. Errors: stage
 * `state`.
 */
CTR_MUST_USE
int ctr_list_json(struct ctr_runtime_t *rt,
                  struct ctr_buf_t *out,
                  struct ctr_error_t **err);

/**
 * Tries what containers need here: namespaces, mounts, control groups,
 * filters. Takes at most ten seconds, usually one; nothing of the machine
 * changes and nothing is left.
 *
 * `*out` is one JSON object: `level` (`full`, `without_limits`,
 * `degraded_only` or `nothing`), `features` (keys of a RunSpec, each with
 * `works` and what it `needs`), `findings` (each with `ability`, `state` (`ok`,
 * `degraded`, `missing`), `detail`, and where it is not `ok` the `consequence`
 * and the command that would be the `fix`), `kernel` and `uid`.
 *
 * `opts` may be NULL: the default directories. No runtime has to be open, so
 * that this works where none can be. `*out` is the caller's; free it with
 * `ctr_buf_free`. What is missing is no error.
 */
CTR_MUST_USE
int ctr_probe_json(const struct ctr_runtime_opts_t *opts,
                   struct ctr_buf_t *out,
                   struct ctr_error_t **err);

/**
 * An outcome as the word that documents use: `exited`, `oom_killed`, ...
 *
 * Lives for ever. `unknown` for any other number.
 */
const char *ctr_outcome_name(int outcome);

/**
 * Adds a reference and returns `c`. NULL stays NULL.
 */
struct ctr_container_t *ctr_container_ref(struct ctr_container_t *c);

/**
 * Gives a reference back; the last one frees the handle. Never ends the
 * container. NULL is allowed.
 */
void ctr_container_unref(struct ctr_container_t *c);

/**
 * The id: 32 hexadecimal digits.
 *
 * Lives as long as the handle. Empty for NULL.
 */
const char *ctr_container_id(const struct ctr_container_t *c);

/**
 * Waits until the container has ended: until no process of it exists and
 * everything that goes with it is removed.
 *
 * `timeout_ms`: milliseconds; -1 waits for ever, 0 only looks. Returns
 * `CTR_PENDING` when the time has passed first. Works any number of times,
 * from several threads at once, before and after the end, also on a handle
 * of `ctr_container_open`. `ex` may be NULL; set `ex->size` before.
 *
 * Errors: stage `wait` if waiting itself fails.
 */
CTR_MUST_USE
int ctr_wait(struct ctr_container_t *c,
             int64_t timeout_ms,
             struct ctr_exit_t *ex,
             struct ctr_error_t **err);

/**
 * Sends a signal to the program. SIGKILL ends the whole container. `flags`
 * must be 0.
 *
 * Errors: `CTR_E_NOT_RUNNING` if the container has ended, `CTR_E_INVALID`
 * for a signal that does not exist.
 */
CTR_MUST_USE
int ctr_container_kill(struct ctr_container_t *c,
                       int sig,
                       uint32_t flags,
                       struct ctr_error_t **err);

/**
 * Asks the program to end with its stop signal, kills everything after
 * `grace_ms` milliseconds (0 or more), and waits for the end. A container
 * that has ended gives its record again. `ex` may be NULL; set `ex->size`
 * before.
 *
 * Errors: as `ctr_wait`.
 */
CTR_MUST_USE
int ctr_container_stop(struct ctr_container_t *c,
                       int64_t grace_ms,
                       struct ctr_exit_t *ex,
                       struct ctr_error_t **err);

/**
 * What is known of the container now, as a JSON object: `id`, `name`,
 * `image`, `command`, `status` (`created`, `running`, `paused`, `exited`),
 * `pid`, `exit`, `created_at_ns`, `labels`, `groups`, `spec`, ...
 *
 * `*out` is the caller's; free it with `ctr_buf_free`. Errors: stage `state`.
 */
CTR_MUST_USE
int ctr_container_state_json(struct ctr_container_t *c,
                             struct ctr_buf_t *out,
                             struct ctr_error_t **err);

/**
 * Removes a container that is kept after its end (`"remove": false`, or
 * `"detach": true`). `flags`: 0, or `CTR_DELETE_FORCE` to kill it first.
 *
 * The handle stays valid until `ctr_container_unref`. Errors: `CTR_E_BUSY`
 * if it runs and is not forced.
 */
CTR_MUST_USE
int ctr_container_delete(struct ctr_container_t *c,
                         uint32_t flags,
                         struct ctr_error_t **err);

/**
 * A descriptor for event loops: readable once the container has ended, and
 * from then on; `ctr_wait` answers at once then. Only poll it.
 *
 * `*fd` is the caller's, close-on-exec; close it with `close`.
 */
CTR_MUST_USE
int ctr_container_event_fd(struct ctr_container_t *c,
                           int *fd,
                           struct ctr_error_t **err);

/**
 * The pidfd of the container's pid 1, for those who want the kernel's own
 * object.
 *
 * `*fd` is the caller's, close-on-exec. Errors: `CTR_E_NOT_RUNNING` if the
 * container had ended when it was opened; `CTR_E_UNSUPPORTED` for a handle
 * that was opened by name on a kernel without pidfd_open (before Linux 5.3).
 */
CTR_MUST_USE int ctr_container_pidfd(struct ctr_container_t *c, int *fd, struct ctr_error_t **err);

/**
 * Takes the caller's end of a stream that was made for it
 * (`CTR_STDIO_PIPE`, or `"tty": true`), or the listener of a seccomp profile.
 * `which` is `CTR_STDIN`, `CTR_STDOUT`, `CTR_STDERR`, `CTR_TERMINAL` or
 * `CTR_SECCOMP_LISTENER`; each can be taken once.
 *
 * `*fd` is the caller's, close-on-exec, blocking. Close standard input to
 * let the program see its end; writing to it raises SIGPIPE as any pipe
 * does. Errors: `CTR_E_NOT_FOUND` if there is no such stream or it was
 * taken.
 */
CTR_MUST_USE
int ctr_container_take_fd(struct ctr_container_t *c,
                          int which,
                          int *fd,
                          struct ctr_error_t **err);

/**
 * Executes another program in a container that runs; returns as soon as it
 * was executed.
 *
 * `proc` is an ExecSpec document of `len` bytes, JSON in UTF-8, for example
 * `{"args": ["id"], "user": "nobody"}`; it needs no NUL. What it leaves out is
 * as for the container's own program. `opts` may be NULL; `CTR_STDIO_LOG` is
 * the container's alone. Everything is copied before the call returns.
 *
 * The program ends when its container ends, and when this process ends unless
 * the document says `"detach": true`. `*out` is the caller's; free it with
 * `ctr_process_free`, which never ends the program.
 *
 * Errors: as `ctr_run`; `CTR_E_NOT_RUNNING`, and `CTR_E_BUSY` if the container
 * is paused.
 */
CTR_MUST_USE
int ctr_container_exec(struct ctr_container_t *c,
                       const char *proc,
                       size_t len,
                       const struct ctr_run_opts_t *opts,
                       struct ctr_process_t **out,
                       struct ctr_error_t **err);

/**
 * Opens a program of a container by its id, in any process: one that runs, or
 * a detached one that has ended.
 *
 * `*out` is the caller's; free it with `ctr_process_free`. Errors:
 * `CTR_E_NOT_FOUND`.
 */
CTR_MUST_USE
int ctr_process_open(struct ctr_container_t *c,
                     const char *id,
                     struct ctr_process_t **out,
                     struct ctr_error_t **err);

/**
 * Frees a handle. Never ends the program. NULL is allowed. No other thread may
 * be using it.
 */
void ctr_process_free(struct ctr_process_t *p);

/**
 * The id: 32 hexadecimal digits.
 *
 * Lives as long as the handle. Empty for NULL.
 */
const char *ctr_process_id(const struct ctr_process_t *p);

/**
 * Waits until the program has ended, as `ctr_wait` does. Processes that it has
 * left behind go on, unless it was ended. Figures that are only measured for
 * the container as a whole are `CTR_UNKNOWN`. `ex` may be NULL; set `ex->size`
 * before.
 *
 * Errors: stage `wait` if waiting itself fails.
 */
CTR_MUST_USE
int ctr_process_wait(struct ctr_process_t *p,
                     int64_t timeout_ms,
                     struct ctr_exit_t *ex,
                     struct ctr_error_t **err);

/**
 * Sends a signal to the program. SIGKILL ends it with all that descends from
 * it: its session, and the children of its children. `flags` must be 0.
 *
 * Errors: `CTR_E_NOT_RUNNING` if it has ended, `CTR_E_INVALID` for a signal
 * that does not exist.
 */
CTR_MUST_USE
int ctr_process_kill(struct ctr_process_t *p,
                     int sig,
                     uint32_t flags,
                     struct ctr_error_t **err);

/**
 * A descriptor for event loops: readable once the program has ended, and from
 * then on. Only poll it.
 *
 * `*fd` is the caller's, close-on-exec; close it with `close`.
 */
CTR_MUST_USE int ctr_process_event_fd(struct ctr_process_t *p, int *fd, struct ctr_error_t **err);

/**
 * The pidfd of the program.
 *
 * `*fd` is the caller's, close-on-exec. Errors: `CTR_E_NOT_RUNNING` if it had
 * ended when it was opened.
 */
CTR_MUST_USE int ctr_process_pidfd(struct ctr_process_t *p, int *fd, struct ctr_error_t **err);

/**
 * Takes the caller's end of a stream that was made for it, as
 * `ctr_container_take_fd` does; each can be taken once.
 *
 * `*fd` is the caller's, close-on-exec, blocking. Errors: `CTR_E_NOT_FOUND` if
 * there is no such stream or it was taken.
 */
CTR_MUST_USE
int ctr_process_take_fd(struct ctr_process_t *p,
                        int which,
                        int *fd,
                        struct ctr_error_t **err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CTR_H */

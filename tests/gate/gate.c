/*
 * LD_PRELOAD shim for scenario tests: holds whoever opens a file whose path ends in GATE_NAME, as long as the file named in
 * GATE is there: what is then going on in the process goes on while its reading waits. Each such open, before it is held,
 * appends a byte to GATE.log.
 */

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *gate, *gate_name;

__attribute__((constructor)) static void gate_init(void) {
	gate = getenv("GATE");
	gate_name = getenv("GATE_NAME");
}

static bool is_gated(const char *path) {
	size_t n = strlen(path), m = gate && gate_name ? strlen(gate_name) : 0;

	return m && n >= m && !strcmp(path + n - m, gate_name);
}

static void pass(void) {
	char log[512];
	ssize_t r;
	int fd;

	snprintf(log, sizeof(log), "%s.log", gate);
	fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	r = write(fd, ".", 1);
	(void)r;
	close(fd);
	while (access(gate, F_OK) == 0)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

int open(const char *path, int flags, ...) {
	mode_t mode = 0;

	if (flags & O_CREAT) {
		__builtin_va_list ap;

		__builtin_va_start(ap, flags);
		mode = __builtin_va_arg(ap, mode_t);
		__builtin_va_end(ap);
	}
	if (is_gated(path))
		pass();
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

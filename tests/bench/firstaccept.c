/* From exec to the first answered connection, in µs. usage: firstaccept SOCKET COMMAND ARG... (the command is killed after) */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int answered(const struct sockaddr_un *un) {
	static const char ask[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
	char answer[1024];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int ok = connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 && write(fd, ask, sizeof(ask) - 1) > 0 &&
		 read(fd, answer, sizeof(answer)) > 12 && !memcmp(answer, "HTTP/1.1 200", 12);

	close(fd);
	return ok;
}

int main(int argc, char **argv) {
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	double began;
	pid_t pid;
	int ok = 0;

	if (argc < 3 || strlen(argv[1]) >= sizeof(un.sun_path))
		return 64;
	strcpy(un.sun_path, argv[1]);
	unlink(argv[1]);
	began = now();
	pid = fork();
	if (pid == 0) {
		freopen("/dev/null", "w", stderr);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	while (!ok && now() - began < 10e6 && waitpid(pid, NULL, WNOHANG) == 0)
		if (!(ok = answered(&un)))
			usleep(50);
	if (ok)
		printf("{\"us\":%.0f}\n", now() - began);
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	return !ok;
}

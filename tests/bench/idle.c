/* Holds N connections that have each asked once and then say nothing. usage: idle SOCKET N; prints "ready", ends on a signal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
	static const char ask[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	long n = argc > 2 ? atol(argv[2]) : 0;
	char answer[1024];

	if (n < 1 || strlen(argv[1]) >= sizeof(un.sun_path))
		return 64;
	strcpy(un.sun_path, argv[1]);
	for (long i = 0; i < n; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0 || connect(fd, (struct sockaddr *)&un, sizeof(un)) || write(fd, ask, sizeof(ask) - 1) < 0 ||
		    read(fd, answer, sizeof(answer)) <= 0) {
			perror("idle");
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}

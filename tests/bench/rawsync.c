/* The yardstick for durability: 600 bytes written and fdatasync'ed into a pre-written file, N times. usage: rawsync FILE N */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
	static char zeros[1 << 20], record[600];
	long n = argc > 2 ? atol(argv[2]) : 0;
	struct timespec a, b;
	double s;
	int fd;

	if (n < 1 || (fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
		return 1;
	for (long left = n * (long)sizeof(record); left > 0; left -= (long)sizeof(zeros))
		if (write(fd, zeros, sizeof(zeros)) != (ssize_t)sizeof(zeros))
			return 1;
	fsync(fd);
	memset(record, 'r', sizeof(record));
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (long i = 0; i < n; i++)
		if (pwrite(fd, record, sizeof(record), i * (long)sizeof(record)) != (ssize_t)sizeof(record) || fdatasync(fd))
			return 1;
	clock_gettime(CLOCK_MONOTONIC, &b);
	s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("{\"rps\":%.1f}\n", (double)n / s);
	unlink(argv[1]);
	return 0;
}

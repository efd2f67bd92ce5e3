// links: broker
/* hallpassd.yaml: any bytes are either a configuration or findings with positions; never both, never neither. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "broker/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct policy_report report = { 0 };
	struct buf names = BUF_INIT(4096);
	struct config *config = NULL;
	struct error err = { 0 };
	char path[64], *text = NULL;
	int fd = memfd_create("config", MFD_CLOEXEC), r;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	setenv("HOME", "/home/x", 1);
	setenv("XDG_RUNTIME_DIR", "/run/user/1", 1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = config_load(path, &config, &report, &text, &err);
	assert((r == 0) == (config != NULL));
	assert(r == 0 ? report.n_errors == 0 : err.code != ERR_NONE && err.message[0]);
	for (size_t i = 0; i < report.n; i++)
		assert(report.findings[i].line >= 1 && report.findings[i].column >= 1 && report.findings[i].message);
	if (config)
		assert(!config_needs_restart(config, config, &names));
	buf_fini(&names);
	policy_report_fini(&report);
	config_free(config);
	free(text);
	close(fd);
	return 0;
}

/* errand: in order, beside the loop, told on it; and what hangs is left behind. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include "broker/errand.h"
#include "hallpass/cleanup.h"

struct bed {
	struct event_base *base;
	struct errands *errands;
	pthread_t loop;
	int run[8], done[8]; /* numbers, in order */
	unsigned n_run, n_done, n_on_loop;
};

struct task {
	struct errand errand;
	struct bed *bed;
	int number;
	struct task *then;	  /* is started when this one is done */
	sem_t *entered, *release; /* NULL: does not wait */
};

static void task_run(void *arg) {
	struct task *task = arg;

	task->bed->n_on_loop += pthread_equal(pthread_self(), task->bed->loop) != 0;
	task->bed->run[task->bed->n_run++] = task->number;
	if (task->release) {
		sem_post(task->entered);
		sem_wait(task->release);
	}
}

static void task_start(struct task *task);

static void task_done(void *arg) {
	struct task *task = arg;

	assert_true(pthread_equal(pthread_self(), task->bed->loop));
	task->bed->done[task->bed->n_done++] = task->number;
	if (task->then)
		task_start(task->then);
}

static void task_start(struct task *task) {
	unsigned before = task->bed->n_done;

	task->errand = (struct errand){ .run = task_run, .done = task_done, .arg = task };
	errands_start(task->bed->errands, &task->errand);
	assert_int_equal(task->bed->n_done, before);
}

static int setup(void **state) {
	static struct bed bed;
	struct error err;

	bed = (struct bed){ .base = event_base_new(), .loop = pthread_self() };
	assert_int_equal(errands_new(bed.base, &bed.errands, &err), 0);
	*state = &bed;
	return 0;
}

static int teardown(void **state) {
	struct bed *bed = *state;

	errands_free(bed->errands);
	event_base_free(bed->base);
	return 0;
}

static void assert_all(const struct bed *bed, unsigned n) {
	assert_int_equal(bed->n_on_loop, 0);
	assert_int_equal(bed->n_run, n);
	assert_int_equal(bed->n_done, n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(bed->run[i], i);
		assert_int_equal(bed->done[i], i);
	}
}

static void test_errands_are_run_in_order_and_told_on_the_loop(void **state) {
	struct bed *bed = *state;
	struct task tasks[5] = { 0 };

	for (int i = 4; i >= 0; i--)
		tasks[i] = (struct task){ .bed = bed, .number = i, .then = i == 2 ? &tasks[3] : i == 3 ? &tasks[4] : NULL };
	for (int i = 0; i < 3; i++)
		task_start(&tasks[i]);
	while (bed->n_done < 5)
		assert_int_equal(event_base_loop(bed->base, EVLOOP_ONCE), 0);
	assert_all(bed, 5);
}

static void test_errands_finish_waits_for_those_that_are_started_meanwhile(void **state) {
	struct bed *bed = *state;
	struct task tasks[2] = { { .bed = bed, .then = &tasks[1] }, { .bed = bed, .number = 1 } };

	assert_true(errands_finish(bed->errands, 0)); /* there are none */
	task_start(&tasks[0]);
	assert_true(errands_finish(bed->errands, 30000));
	assert_all(bed, 2);
}

static void test_errands_that_hang_are_left_behind(void **state) {
	struct bed *bed = *state;
	static sem_t entered, release; /* for as long as the thread needs them */
	static struct task task;

	task = (struct task){ .bed = bed, .entered = &entered, .release = &release };
	sem_init(&entered, 0, 0);
	sem_init(&release, 0, 0);
	task_start(&task);
	sem_wait(&entered);
	assert_false(errands_finish(bed->errands, 1));
	errands_free(take(&bed->errands));
	assert_int_equal(bed->n_done, 0);
	sem_post(&release); /* its thread cleans up behind itself */
	assert_int_equal(bed->n_run, 1);
}

#define ERRANDS(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
	const struct CMUnitTest tests[] = {
		ERRANDS(test_errands_are_run_in_order_and_told_on_the_loop),
		ERRANDS(test_errands_finish_waits_for_those_that_are_started_meanwhile),
		ERRANDS(test_errands_that_hang_are_left_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

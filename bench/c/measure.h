/* Clocks, CPU and memory of this process, for the programs of the benchmark. */

#ifndef MEASURE_H
#define MEASURE_H

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static inline double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static inline double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* The private memory of the process, in kB. */
static inline long private_kb(void) {
    char line[128];
    long kilobytes = 0, value;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Private_Dirty: %ld", &value) == 1)
            kilobytes += value;
    if (file)
        fclose(file);
    return kilobytes;
}

#endif

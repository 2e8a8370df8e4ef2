/* Runs a program and prints its peak memory in KiB. In a tiny separate process, because until it calls exec, a spawned
   child counts as large as its parent. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv) {
    pid_t child;
    int status;
    struct rusage used;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    if (argc < 2 || posix_spawn(&child, argv[1], &actions, 0, argv + 1, environ) != 0) return 1;
    if (wait4(child, &status, 0, &used) != child || status != 0) return 1;
    printf("%ld\n", used.ru_maxrss);
    return 0;
}

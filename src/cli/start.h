/* start.h - the environment that the libraries of this program should find when they are loaded. */
#ifndef NB_CLI_START_H
#define NB_CLI_START_H

/* First thing in main: returns with everything as it should be, in a process that may have executed itself again. */
void cli_start(char **argv);

#endif

/* Shows on standard error how far a transcription or a download is: one live line on a terminal, a
 * line every 5 % on request, otherwise nothing.  The struct is the caller's and owns nothing.  Used
 * by one thread at a time. */
#ifndef WISP_CLI_PROGRESS_H
#define WISP_CLI_PROGRESS_H

#include <stdbool.h>
#include <time.h>

struct progress {
    bool live;    /* a line that is drawn over */
    bool lines;   /* plain lines */
    bool visible; /* the live line is on the screen */
    struct timespec started;
    double drawn_at;  /* seconds since the start */
    int last_percent; /* of the last plain line */
};

/* `wanted` false: show nothing; `lines`: plain lines also when standard error is no terminal. */
void progress_init(struct progress *p, bool wanted, bool lines);

/* Seconds of audio: where the work began, how far it is, where it will end. */
void progress_audio(struct progress *p, double begin, double done, double end);
/* Bytes done and in all; total 0 = unknown. */
void progress_bytes(struct progress *p, double done, double total);

/* Take the live line off the screen, before something else is printed. */
void progress_hide(struct progress *p);

/* Seconds since progress_init. */
double progress_elapsed(const struct progress *p);

#endif

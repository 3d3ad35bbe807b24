#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "out.h"

enum { LINE_PERCENT = 5 };
static const double REDRAW_S = 0.1;

void progress_init(struct progress *p, bool wanted, bool lines) {
    const char *term = getenv("TERM");
    bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    *p = (struct progress){.live = wanted && terminal, .last_percent = 0};
    p->lines = lines && !p->live;
    clock_gettime(CLOCK_MONOTONIC, &p->started);
    p->drawn_at = -REDRAW_S;
}

double progress_elapsed(const struct progress *p) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - p->started.tv_sec) +
           (double)(now.tv_nsec - p->started.tv_nsec) / 1e9;
}

void progress_hide(struct progress *p) {
    if (p->visible)
        fputs("\r\033[K", stderr);
    p->visible = false;
}

static int percent(double done, double total) {
    if (total <= 0)
        return 0;
    return done >= total ? 100 : (int)(100 * done / total);
}

/* Whether the live line is due again. */
static bool is_due(struct progress *p, double done, double total) {
    double now = progress_elapsed(p);
    if (!p->live || (now - p->drawn_at < REDRAW_S && done < total))
        return false;
    p->drawn_at = now;
    p->visible = true;
    return true;
}

void progress_audio(struct progress *p, double begin, double done, double end) {
    double worked = done > begin ? done - begin : 0;
    int now = percent(worked, end - begin);
    if (p->lines && now >= p->last_percent + LINE_PERCENT) {
        p->last_percent = now - now % LINE_PERCENT;
        cli_say("progress = %3d%%", now);
    }
    if (!is_due(p, done, end))
        return;
    double elapsed = progress_elapsed(p);
    fprintf(stderr, "\r%3d%%  ", now);
    out_time(stderr, done, true, '.');
    fputs(" / ", stderr);
    out_time(stderr, end, true, '.');
    if (worked > 0 && elapsed > 0)
        fprintf(stderr, "  %.1fx realtime", worked / elapsed);
    fputs("\033[K", stderr);
    fflush(stderr);
}

void progress_bytes(struct progress *p, double done, double total) {
    if (!is_due(p, done, total))
        return;
    fprintf(stderr, "\r%3d%%  %.1f / %.1f MB\033[K", percent(done, total), done / 1e6, total / 1e6);
    fflush(stderr);
}

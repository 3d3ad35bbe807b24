/* Locks: counters of 0..63 that units wait for. */
#include "npu/emu/array_impl.h"

int wi_arr_acquire(struct lock *lock, int value, bool by_core, uint64_t now) {
    int seen = lock->value - (by_core && now < lock->late_until ? lock->late : 0);
    if (value < 0 ? seen < -value : seen != value)
        return 0;
    if (lock->granted == now + 1)
        return -1;
    lock->granted = now + 1;
    lock->value = (uint8_t)(lock->value - (value < 0 ? -value : value));
    return 1;
}

static void wake_waiting(struct wi_tile *t, const struct lock *lock, uint64_t at) {
    if (t && t->core && t->core->state == CORE_WAIT && t->core->wait_lock == lock)
        wi_arr_core_wake(t->core, at);
}

/* Channels of a tile that wait for a lock. */
static void wake_channels(struct wi_tile *t, uint64_t at) {
    if (!t)
        return;
    for (int i = 0; i < 2 * t->n_channels; i++)
        if (t->channel[i % 2][i / 2].state == CHANNEL_ACQUIRE) {
            wi_arr_channel_wake(&t->channel[i % 2][i / 2], at);
            wi_arr_wake(t, at);
        }
}

void wi_arr_lock_changed(struct wi_tile *t, struct lock *lock, uint64_t at) {
    struct wi_array *a = t->array;
    wake_channels(t, at);
    if (t->kind == WI_TILE_MEM) { /* neighbours' channels reach it */
        wake_channels(wi_arr_tile(a, t->col - 1, t->row), at);
        wake_channels(wi_arr_tile(a, t->col + 1, t->row), at);
    } else if (t->kind == WI_TILE_CORE) {
        uint64_t core_at = lock->late_until > at ? lock->late_until : at;
        wake_waiting(t, lock, core_at);
        wake_waiting(wi_arr_tile(a, t->col, t->row - 1), lock, core_at);
        wake_waiting(wi_arr_tile(a, t->col, t->row + 1), lock, core_at);
        wake_waiting(wi_arr_tile(a, t->col + 1, t->row), lock, core_at);
    }
}

bool wi_arr_release(struct wi_tile *t, unsigned id, int value, bool by_dma, uint64_t now,
                    const char *who) {
    struct lock *lock = &t->lock[id];
    int sum = lock->value + value;
    if (sum < 0 || sum > LOCK_MAX) {
        wi_arr_fault(t->array, t, "%s releases lock%u, which is %u, by %+d: it would leave 0..%d",
                     who, id, lock->value, value, LOCK_MAX);
        return false;
    }
    lock->value = (uint8_t)sum;
    lock->granted = now + 1; /* seen by others from the next cycle on */
    if (by_dma && value > 0) {
        lock->late = (uint8_t)(value + (now < lock->late_until ? lock->late : 0));
        lock->late_until = now + WI_T_DMA_TO_CORE;
    }
    wi_arr_lock_changed(t, lock, now + 1);
    return true;
}

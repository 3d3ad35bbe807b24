#!/usr/bin/env python3
"""Trains the digits model: usage: train.py CLIPS.npz OUT.pt [--minutes 40] [--leave-out SPEAKER]
       [--start WEIGHTS.pt] [--pause SECONDS]

Two processes with one thread each average their gradients.  Muon on the matrices of blocks and conv stem,
AdamW on the rest; learning rate flat, then cosine; windows grow from 3.5 to 30 s (see STAGES).  An
exponential average of the weights is what OUT.pt holds.  --minutes are of processor time in each process, so
that a busy machine trains as long as an idle one.  --start goes on from given weights: long windows,
timestamps at full weight, from a third of the learning rate.  The state of the run is in OUT.pt.run: the same
command goes on from there.  --pause stops so long after the start, with exit 75 unless training is done."""
import argparse
import math
import os
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

import model as M
from mixing import Mixer

# until this share of the time: [(probability, encoder positions, most digits, batch per process)]
STAGES = [
    (0.10, [(1.0, 176, 3, 12)]),
    (0.22, [(0.5, 176, 3, 12), (0.5, 336, 6, 8)]),
    (0.34, [(0.2, 176, 3, 12), (0.3, 336, 6, 8), (0.5, 560, 12, 5)]),
    (0.50, [(0.1, 176, 3, 12), (0.2, 336, 6, 8), (0.64, 560, 12, 5), (0.06, 1500, 12, 2)]),
    (0.78, [(0.1, 176, 3, 12), (0.15, 336, 6, 8), (0.50, 560, 12, 5), (0.25, 1500, 12, 2)]),
    (1.01, [(0.05, 176, 3, 12), (0.05, 336, 6, 8), (0.30, 560, 12, 5), (0.60, 1500, 12, 2)]),
]
REFINE = [(0.10, 336, 6, 8), (0.40, 560, 12, 5), (0.50, 1500, 12, 2)]  # with --start
PROCESSES = 2
SAVE_EVERY = 120  # seconds
PAUSED = 75  # EX_TEMPFAIL


def orthogonalise(g):
    """Newton-Schulz iteration of Muon (Jordan et al. 2024): the nearest orthogonal matrix, roughly."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(5):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if tall else x


class Muon:
    def __init__(self, params, lr):
        self.params, self.lr = params, lr
        self.momentum = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self, scale):
        for p, m in zip(self.params, self.momentum):
            m.mul_(0.95).add_(p.grad)
            g = (p.grad + 0.95 * m).flatten(1)
            update = orthogonalise(g) * math.sqrt(max(1, g.shape[0] / g.shape[1]))
            p.mul_(1 - self.lr * scale * 0.01).add_(update.view_as(p), alpha=-self.lr * scale)


def tokens_of(digits, spans, offset, timestamps):
    """(input ids, target ids, digit being predicted at each step or -1) of one window."""
    if not digits:
        text = [] if timestamps else [M.NEWLINE]
        head = [M.SOT, M.TS0] if timestamps else [M.SOT, M.NOTIMESTAMPS]
        ids = head + text + [M.EOT]
        return ids[:-1], [M.NOSPEECH] + ids[2:], [-1] * (len(ids) - 1)
    if not timestamps:
        ids = [M.SOT, M.NOTIMESTAMPS] + digits + [M.EOT]
        return ids[:-1], ids[1:], [-1] + list(range(len(digits))) + [-1]
    begin, end = spans[0][0] // 2 - offset, spans[-1][1] // 2 - offset
    begin = begin if begin <= 50 else 0  # max_initial_timestamp: 1.0 s
    ids = [M.SOT, M.TS0 + begin] + digits + [M.TS0 + min(end, 1500), M.EOT]
    n = len(digits)
    return ids[:-1], ids[1:], [0] + list(range(n)) + [n - 1, -1]


def make_batch(mixer, positions, most, batch, refine):
    rng = mixer.rng
    mels, rows, offsets = [], [], []
    for _ in range(batch):
        n = rng.integers(1, most + 1)
        mel, digits, spans = mixer.window(2 * positions, n)
        mels.append(mel)
        moved = positions < 1500 and not refine and rng.random() < 0.6
        offsets.append(int(rng.integers(0, 1500 - positions)) if moved else 0)
        rows.append((digits, spans, rng.random() < 0.5 and offsets[-1] == 0))
    length = max(len(d) for d, _, _ in rows) + 3
    x = torch.full((batch, length), M.EOT)
    y = torch.full((batch, length), -100)
    frame_digit = torch.zeros(batch, positions, dtype=torch.long)
    frame_ordinal = torch.zeros(batch, positions, dtype=torch.long)
    guide_now = torch.zeros(batch, length, positions)  # frames of the digit that is predicted
    guide_before = torch.zeros(batch, length, positions)  # frames of the digit before it
    for i, (digits, spans, timestamps) in enumerate(rows):
        inputs, targets, step_digit = tokens_of(digits, spans, 0, timestamps)
        x[i, :len(inputs)] = torch.tensor(inputs)
        y[i, :len(targets)] = torch.tensor(targets)
        for j, (d, (b, e)) in enumerate(zip(digits, spans)):
            frame_digit[i, b // 2:(e + 1) // 2] = d + 1
            frame_ordinal[i, b // 2:(e + 1) // 2] = j + 1
        for t, j in enumerate(step_digit):
            if j >= 0:
                b, e = spans[j]
                guide_now[i, t, b // 2:(e + 1) // 2] = 1
                if j > 0:
                    b, e = spans[j - 1]
                    guide_before[i, t, b // 2:(e + 1) // 2] = 1
    return (torch.tensor(np.stack(mels)), offsets, x, y, frame_digit, frame_ordinal, guide_now,
            guide_before)


def guided(weights, guide):
    """Mean of -log(attention mass inside the guide) over the steps that have one."""
    mass = (weights.mean(1) * guide).sum(-1)
    has = guide.any(-1)
    return -(mass[has] + 1e-6).log().mean() if has.any() else mass.sum() * 0


def loss_of(net, batch, share, refine):
    mel, offsets, x, y, frame_digit, frame_ordinal, now, before = batch
    features = net.encoder(mel, offsets)
    logits, attention = net.decoder(x, features, weights=True)
    each = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none").view_as(y)
    is_time = (y >= M.TS0).float()
    weight = (y >= 0).float() * (1 - is_time + is_time * (1.0 if refine else 0.1 if share < 0.5 else 0.5))
    text = (each * weight).sum() / weight.sum()
    aux = 1.0 if share < 0.5 and not refine else 0.3
    frames = F.cross_entropy(net.frame_digit(features).flatten(0, 1), frame_digit.flatten())
    ordinal = F.cross_entropy(net.frame_ordinal(features).flatten(0, 1), frame_ordinal.flatten())
    guide = guided(attention[-1], now) + guided(attention[0], before)
    return text + aux * (frames + ordinal + 0.5 * guide), text, frames


def learning_rate(share, step, refine):
    if refine:
        return 0.3 * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * share))) * min(1, (step + 1) / 100)
    decay = 1.0 if share < 0.3 else 0.015 + 0.985 * 0.5 * (1 + math.cos(math.pi * (share - 0.3) / 0.7))
    return decay * min(1, (step + 1) / 200)


class Run:
    """Everything that changes while training, but the random numbers."""

    def __init__(self, net):
        matrices = [p for n, p in net.named_parameters()
                    if p.ndim >= 2 and (".blocks." in n or ".conv" in n)]
        taken = {id(p) for p in matrices}
        others = [p for p in net.parameters() if id(p) not in taken]
        self.net = net
        self.muon = Muon(matrices, 0.02)
        self.adam = torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)
        self.average = [p.detach().clone() for p in net.parameters()]
        self.step = self.seen = 0
        self.seconds = 0.0  # of processor time

    def save(self, out):
        names = [n for n, _ in self.net.named_parameters()]
        save(dict(zip(names, [a.clone() for a in self.average])), out)
        save({"net": self.net.state_dict(), "average": self.average, "momentum": self.muon.momentum,
              "adam": self.adam.state_dict(), "counts": (self.step, self.seen, self.seconds)}, out + ".run")

    def load(self, path):
        state = torch.load(path)
        self.net.load_state_dict(state["net"])
        self.average, self.muon.momentum = state["average"], state["momentum"]
        self.adam.load_state_dict(state["adam"])
        self.step, self.seen, self.seconds = state["counts"]

    @torch.no_grad()
    def update(self, flat, rate):
        """One step along the gradient `flat`, of all parameters in a row."""
        at, params = 0, list(self.net.parameters())
        norm = flat.norm()
        for p in params:
            p.grad.copy_(flat[at:at + p.numel()].view_as(p) * min(1.0, 1 / (norm.item() + 1e-6)))
            at += p.numel()
        self.muon.step(rate)
        for group in self.adam.param_groups:
            group["lr"] = 3e-3 * rate
        self.adam.step()
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        for a, p in zip(self.average, params):
            a.lerp_(p, 1 - decay)
        self.step += 1


def save(thing, path):
    torch.save(thing, path + ".tmp")
    os.replace(path + ".tmp", path)


def worker(rank, args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(args.port))
    dist.init_process_group("gloo", rank=rank, world_size=PROCESSES)
    net = M.Nano()
    if args.start:
        net.load_state_dict(torch.load(args.start), strict=False)  # all but the fixed sinusoids
    run = Run(net)
    if os.path.exists(args.out + ".run"):
        run.load(args.out + ".run")
    mixer = Mixer(args.clips, [args.seed, rank, run.step], leave_out=args.leave_out)
    began = saved = time.time()
    used = time.process_time()
    share, sums, wall = run.seconds / (60 * args.minutes), np.zeros(3), 0.0
    while share < 1 and not (args.pause and wall > args.pause):
        stage = REFINE if args.start else next(s for until, s in STAGES if share < until)
        # all processes draw the same kind of window, so that none waits for another
        pick = np.random.default_rng((args.seed, run.step)).choice(len(stage), p=[s[0] for s in stage])
        _, positions, most, batch = stage[pick]
        minibatch = make_batch(mixer, positions, most, batch, args.start)
        loss, text, frames = loss_of(net, minibatch, share, args.start)
        net.zero_grad()
        loss.backward()
        now = time.process_time()
        flat = torch.cat([p.grad.flatten() for p in net.parameters()] +
                         [torch.tensor([now - used, time.time() - began])])
        used = now
        dist.all_reduce(flat)
        flat /= PROCESSES
        run.seconds += flat[-2].item()
        wall = flat[-1].item()
        share = run.seconds / (60 * args.minutes)
        rate = learning_rate(share, run.step, args.start)
        run.update(flat[:-2], rate)
        run.seen += batch * PROCESSES
        sums += [text.item(), frames.item(), 1]
        if rank == 0 and (run.step % 100 == 0 or share >= 1):
            print(f"{share:.3f} step {run.step} samples {run.seen} rate {rate:.3f} text "
                  f"{sums[0] / sums[2]:.4f} frames {sums[1] / sums[2]:.4f}", flush=True)
            sums[:] = 0
        if rank == 0 and time.time() - saved > SAVE_EVERY:
            saved = time.time()
            run.save(args.out)
    if rank == 0:
        run.save(args.out)
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips")
    parser.add_argument("out")
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=29411)
    parser.add_argument("--start", help="weights to refine")
    parser.add_argument("--leave-out", help="a speaker whose recordings are not used")
    parser.add_argument("--pause", type=float, default=0)
    args = parser.parse_args()
    mp.spawn(worker, (args,), PROCESSES)
    seconds = torch.load(args.out + ".run")["counts"][2]
    return PAUSED if seconds < 60 * args.minutes else 0


if __name__ == "__main__":
    sys.exit(main())

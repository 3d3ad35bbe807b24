#!/usr/bin/env python3
"""Checks that this PyTorch computes right gradients of the digits model: usage: check_gradients.py

Some builds do not (Debian's 1.13: the convolutions).  The f32 gradient of every parameter is compared with
the f64 one, and the f64 one with central differences along random directions.  Exits 1 above the bounds."""
import sys

import torch

import model as M

F32_BOUND, DIFFERENCE_BOUND = 1e-3, 1e-5


def loss_of(net, mel, tokens):
    logits, _ = net.decoder(tokens[:, :-1], net.encoder(mel))
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def gradients(net, mel, tokens):
    net.zero_grad()
    loss_of(net, mel, tokens).backward()
    return {n: p.grad.double().clone() for n, p in net.named_parameters() if p.grad is not None}


def main():
    torch.manual_seed(3)
    net = M.Nano()
    mel = torch.randn(2, 80, 352)
    tokens = torch.randint(0, M.N_TRAIN, (2, 7))
    single = gradients(net, mel, tokens)
    net, mel = net.double(), mel.double()
    double = gradients(net, mel, tokens)
    bad = 0
    for name, p in net.named_parameters():
        if name not in double:
            continue
        g = double[name]
        apart = ((single[name] - g).norm() / g.norm()).item()
        direction = torch.randn_like(p)
        direction *= 1e-5 / direction.norm()
        with torch.no_grad():
            p += direction
            above = loss_of(net, mel, tokens)
            p -= 2 * direction
            below = loss_of(net, mel, tokens)
            p += direction
        slope = (g * direction).sum()
        off = abs(((above - below) / 2 - slope) / (g.norm() * direction.norm())).item()
        if apart > F32_BOUND or off > DIFFERENCE_BOUND:
            bad += 1
            print(f"{name}: f32 off by {apart:.1e}, differences off by {off:.1e}")
    print(f"{len(double) - bad} of {len(double)} gradients right (PyTorch {torch.__version__})")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())

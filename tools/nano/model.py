"""Whisper's architecture in PyTorch with a small output vocabulary, for training the digits model.

While training there are 1517 output rows: the ten digit words, a line feed (the text of a window without
speech: it survives suppress_blank), the special tokens, one row that all unused ids share, and the 1501
timestamps.  The shared row's logit gets log(number of ids it stands for), so that the softmax is that of
the full vocabulary that export.py writes."""
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# training id -> id in the English-only layout of 51864
DIGIT_IDS = [6632, 530, 734, 1115, 1440, 1936, 2237, 3598, 3624, 5193]  # " zero" ... " nine"
NEWLINE, EOT, SOT, NOSPEECH, NOTIMESTAMPS, UNUSED, TS0 = 10, 11, 12, 13, 14, 15, 16
FULL_IDS = DIGIT_IDS + [198, 50256, 50257, 50361, 50362, -1] + list(range(50363, 51864))
N_FULL = 51864
N_TRAIN = len(FULL_IDS)
LOG_UNUSED = math.log(N_FULL - (N_TRAIN - 1))


def sinusoids(length, channels):
    scale = np.exp(-math.log(10000) / (channels // 2 - 1) * np.arange(channels // 2))
    angle = np.arange(length)[:, None] * scale
    return torch.tensor(np.concatenate([np.sin(angle), np.cos(angle)], 1), dtype=torch.float32)


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.query, self.value, self.out = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.key = nn.Linear(d, d, bias=False)

    def split(self, x):
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(self, x, source=None, causal=False, weights=False):
        source = x if source is None else source
        q, k, v = self.split(self.query(x)), self.split(self.key(source)), self.split(self.value(source))
        w = None
        if weights:
            w = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1)
            y = w @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out(y.transpose(1, 2).flatten(2)), w


class Block(nn.Module):
    def __init__(self, d, heads, cross):
        super().__init__()
        self.attn, self.attn_ln = Attention(d, heads), nn.LayerNorm(d)
        self.cross_attn = Attention(d, heads) if cross else None
        self.cross_attn_ln = nn.LayerNorm(d) if cross else None
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.mlp_ln = nn.LayerNorm(d)

    def forward(self, x, features=None, weights=False):
        x = x + self.attn(self.attn_ln(x), causal=self.cross_attn is not None)[0]
        w = None
        if self.cross_attn is not None:
            y, w = self.cross_attn(self.cross_attn_ln(x), features, weights=weights)
            x = x + y
        return x + self.mlp(self.mlp_ln(x)), w


class Encoder(nn.Module):
    def __init__(self, d, heads, layers):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(80, d, 3, padding=1), nn.Conv1d(d, d, 3, 2, 1)
        self.register_buffer("positional_embedding", sinusoids(1500, d))
        self.blocks = nn.ModuleList(Block(d, heads, False) for _ in range(layers))
        self.ln_post = nn.LayerNorm(d)

    def forward(self, mel, offsets=None):
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).transpose(1, 2)
        n = x.shape[1]
        if offsets is None:
            x = x + self.positional_embedding[:n]
        else:
            x = x + torch.stack([self.positional_embedding[o:o + n] for o in offsets])
        for block in self.blocks:
            x, _ = block(x)
        return self.ln_post(x)


class Decoder(nn.Module):
    def __init__(self, d, heads, layers):
        super().__init__()
        self.token_embedding = nn.Embedding(N_TRAIN, d)
        self.positional_embedding = nn.Parameter(torch.randn(448, d) * 0.01)
        self.blocks = nn.ModuleList(Block(d, heads, True) for _ in range(layers))
        self.ln = nn.LayerNorm(d)

    def forward(self, tokens, features, weights=False):
        x = self.token_embedding(tokens) + self.positional_embedding[:tokens.shape[1]]
        attention = []
        for block in self.blocks:
            x, w = block(x, features, weights)
            attention.append(w)
        logits = self.ln(x) @ self.token_embedding.weight.T
        bias = torch.zeros(N_TRAIN)
        bias[UNUSED] = LOG_UNUSED
        return logits + bias, attention


class Nano(nn.Module):
    def __init__(self, d=64, heads=2, enc_layers=3, dec_layers=2):
        super().__init__()
        self.encoder, self.decoder = Encoder(d, heads, enc_layers), Decoder(d, heads, dec_layers)
        # training aids, not exported: which digit a frame is in, and which of the string it is
        self.frame_digit, self.frame_ordinal = nn.Linear(d, 11), nn.Linear(d, 14)
        with torch.no_grad():
            emb = self.decoder.token_embedding.weight
            emb.mul_(0.05)
            emb[TS0:] = 0.3 * sinusoids(1501, d)
            for block in self.encoder.blocks:  # equal query and key: attention starts local
                block.attn.key.weight.copy_(block.attn.query.weight)

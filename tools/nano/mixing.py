"""Training windows mixed from single digits in the mel power domain (numpy).

Powers of sounds that are added add up, but for their cross term; so clips are analysed once and strings,
gaps, level, equaliser, tempo, pitch, reverberation and noise are cheap operations on [frames, 80].  As in
the reference, what follows the end of a file is the number 0.0 in the log-mel, not silence."""
import numpy as np

import tunes

# shares of the voices, and of strings that mix them
SHARES = {"recording": 0.60, "espeak": 0.24, "flite": 0.11, "asterisk": 0.05}
ONE_VOICE = 0.7
NON_SPEECH = 0.14  # of all windows: silence, noise, music
FILLED = 0.7  # of the windows that end early: 0.0 behind the end; silence in the others
TUNES, TUNE_SECONDS = 100, 6
BAND_4KHZ = 59  # first mel band above 4 kHz of 80: the recordings are sampled at 8 kHz


class Mixer:
    def __init__(self, path, seed, split=0, leave_out=None):
        data = np.load(path)
        self.frames, self.offsets, self.digits = data["frames"], data["offsets"], data["digits"]
        voices = data["voices"]
        usable = data["split"] == split
        if leave_out:
            usable &= voices != leave_out
        self.rng = np.random.default_rng(seed)
        self.pools = {}  # (voice, digit) -> clip numbers
        for voice in np.unique(voices[usable]):
            for digit in range(10):
                self.pools[voice, digit] = np.nonzero(usable & (voices == voice) &
                                                      (self.digits == digit))[0]
        names = sorted({voice for voice, _ in self.pools})
        self.speakers = [v for v in names if v not in SHARES]
        self.kinds = [k for k in SHARES if k == "recording" or k in names]
        self.shares = np.array([SHARES[k] for k in self.kinds])
        self.shares /= self.shares.sum()
        self.tunes = [tunes.mel_power(self.rng, TUNE_SECONDS) for _ in range(TUNES)]

    def pick_voice(self):
        kind = self.rng.choice(self.kinds, p=self.shares)
        return self.rng.choice(self.speakers) if kind == "recording" else kind

    def pick_digits(self, n):
        repeat = self.rng.choice([0.1, 0.1, 0.4, 0.8])
        digits = [int(self.rng.integers(10))]
        while len(digits) < n:
            digits.append(digits[-1] if self.rng.random() < repeat else int(self.rng.integers(10)))
        return digits

    def clip(self, voice, digit):
        pool = self.pools[voice, digit]
        i = self.rng.choice(pool)
        return self.frames[self.offsets[i]:self.offsets[i + 1]]

    def smooth(self, n, knots, spread):
        """A smooth random curve of n points, spread = standard deviation in dB, as a power factor."""
        x = np.linspace(0, knots - 1, n)
        db = np.interp(x, np.arange(knots), self.rng.normal(0, spread, knots))
        return (10 ** (db / 10)).astype(np.float32)

    def stretch(self, clip, tempo, warp):
        """Resample the time axis by `tempo` and the band axis by `warp`, linearly."""
        if tempo != 1:
            n = max(4, int(round(len(clip) / tempo)))
            t = np.linspace(0, len(clip) - 1, n)
            i = np.minimum(t.astype(int), len(clip) - 2)
            f = (t - i)[:, None].astype(np.float32)
            clip = clip[i] * (1 - f) + clip[i + 1] * f
        if warp != 1:
            b = np.clip(np.arange(80) * warp, 0, 79)
            i = np.minimum(b.astype(int), 78)
            f = (b - i).astype(np.float32)
            clip = clip[:, i] * (1 - f) + clip[:, i + 1] * f
        return clip

    def noise(self, n):
        """Shaped, slowly modulated noise [n, 80] of mean power about 1."""
        shape = self.smooth(80, 6, 6)
        if self.rng.random() < 0.5:
            shape[BAND_4KHZ:] *= 1e-5
        if self.rng.random() < 0.5:
            shape *= np.linspace(1, 0, 80, dtype=np.float32) ** 2 + 0.01
        slow = self.smooth(n, max(2, n // 40), 4) if self.rng.random() < 0.5 else 1.0
        grain = self.rng.gamma(3.0, 1 / 3.0, (n, 80)).astype(np.float32)
        return grain * shape * np.reshape(slow, (-1, 1))

    def music(self, n):
        """Tunes one after another [n, 80], transposed by up to two bands, of mean power about 1."""
        parts, have = [], 0
        while have < n:
            tune = self.tunes[self.rng.integers(len(self.tunes))]
            tune = np.roll(tune, self.rng.integers(-2, 3), axis=1)[self.rng.integers(len(tune) // 2):]
            parts.append(tune / tune.mean())
            have += len(tune)
        return np.concatenate(parts)[:n]

    def non_speech(self, n_frames, level):
        """Log-mel [80, n_frames] of silence, noise or music that may end early."""
        rng = self.rng
        power = np.zeros((n_frames, 80), np.float32)
        end = n_frames if rng.random() < 0.3 else int(rng.integers(n_frames // 30, n_frames))
        kind = rng.choice(["silence", "noise", "music", "music over noise"], p=[0.3, 0.3, 0.2, 0.2])
        if kind == "noise":
            power[:end] = self.noise(end)
        elif kind == "music":
            power[:end] = self.music(end)
        elif kind == "music over noise":
            power[:end] = self.music(end) + 0.01 * self.noise(end)
        power *= level * np.float32(10 ** rng.uniform(-4, 0))
        return self.log_mel(power, end)

    def window(self, n_frames, n_digits):
        """One window of n_frames: (log-mel [80, n_frames], digits, spans [(begin, end) frames])."""
        rng = self.rng
        power = np.zeros((n_frames, 80), np.float32)
        level = 10 ** rng.uniform(-1.5, 1.0)
        if rng.random() < NON_SPEECH:
            return self.non_speech(n_frames, level), [], []

        voice = self.pick_voice() if rng.random() < ONE_VOICE else None
        tempo = np.exp(rng.uniform(-0.2, 0.2)) if rng.random() < 0.6 else 1.0
        warp = rng.uniform(0.92, 1.08) if rng.random() < 0.5 else 1.0
        wanted = self.pick_digits(int(n_digits))
        clips = [self.stretch(self.clip(voice or self.pick_voice(), d), tempo, warp) for d in wanted]
        gap_max = rng.choice([30, 100, 100])
        gaps = rng.integers(5, gap_max, len(clips))
        gaps[0] = rng.integers(2, 80)
        if n_frames >= 2000 and rng.random() < 0.15:  # far apart
            spare = n_frames - sum(map(len, clips)) - gaps.sum() - 20
            if spare > 0:
                gaps = gaps + (rng.dirichlet(np.ones(len(clips))) * spare * rng.random()).astype(int)
        at, digits, spans = 0, [], []
        for d, clip, gap in zip(wanted, clips, gaps):
            at += int(gap)
            if at + len(clip) + 5 > n_frames:
                break
            power[at:at + len(clip)] += clip * np.float32(10 ** rng.uniform(-0.4, 0.4))
            digits.append(d)
            spans.append((at, at + len(clip)))
            at += len(clip)
        if not digits:
            return self.window(n_frames, n_digits)

        if rng.random() < 0.25:
            self.reverberate(power)
        power *= self.smooth(80, 5, 3)
        end = min(n_frames, at + int(rng.integers(5, 200))) if rng.random() < 0.7 else n_frames
        speech = np.mean([power[b:e].mean() for b, e in spans])
        if rng.random() < 0.85:
            power[:end] += self.noise(end) * np.float32(speech * 10 ** (-rng.uniform(8, 60) / 10))
        if rng.random() < 0.3:
            power[:, BAND_4KHZ:] *= 1e-5
        power[end:] = 0
        return self.log_mel(power * np.float32(level), end), digits, spans

    def reverberate(self, power):
        """Exponential tail: 60 dB in 0.2 to 0.8 s, 10 to 3 dB below the direct sound."""
        keep = 10 ** (-6 / (100 * self.rng.uniform(0.2, 0.8)))
        wet = 10 ** (-self.rng.uniform(0.3, 1.0)) * (1 - keep)
        tail = np.zeros(80, np.float32)
        for t in range(len(power)):
            tail *= keep
            direct = power[t].copy()
            power[t] += tail * wet
            tail += direct

    def log_mel(self, power, end):
        x = np.log10(np.maximum(power, 1e-10))
        x = ((np.maximum(x, x.max() - 8) + 4) / 4).T
        if self.rng.random() < FILLED:
            x[:, end:] = 0
        return x

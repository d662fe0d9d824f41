"""A small Llama with the names of Hugging Face, and decoding of many rows that stay at the same position."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from task import BOS, EOS, TOKEN_ID, VOCAB_SIZE, decode, encode, line_length, prompt_text, read_line, solutions

NORM_EPSILON = 1e-5
ROPE_THETA = 10000.0


def config(n_layers=3, d_model=96, n_heads=4, d_ff=256, max_positions=112, output_size=VOCAB_SIZE):
    return dict(
        n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_ff=d_ff, vocab_size=VOCAB_SIZE, max_positions=max_positions,
        rope_theta=ROPE_THETA, norm_epsilon=NORM_EPSILON, tied_embeddings=False, output_size=output_size,
    )  # fmt: skip


POLICY = config()
REWARD = config(max_positions=32, output_size=1)
REWARD_WEAK = config(n_layers=2, d_model=48, n_heads=4, d_ff=128, max_positions=32, output_size=1)


def rotate_half(x):
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), -1)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["n_heads"]
        for name in "qkvo":
            setattr(self, f"{name}_proj", nn.Linear(c["d_model"], c["d_model"], bias=False))

    def forward(self, x, cos, sin, cache, start):
        rows, length, width = x.shape
        q, k, v = (
            project(x).view(rows, length, self.heads, width // self.heads).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin
        if cache is not None:
            end = start + length
            cache[0, :, :, start:end], cache[1, :, :, start:end] = k, v
            k, v = cache[0, :, :, :end], cache[1, :, :, :end]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=length > 1)
        return self.o_proj(y.transpose(1, 2).reshape(rows, length, width))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c["d_model"], c["d_ff"], bias=False)
        self.up_proj = nn.Linear(c["d_model"], c["d_ff"], bias=False)
        self.down_proj = nn.Linear(c["d_ff"], c["d_model"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = nn.RMSNorm(c["d_model"], NORM_EPSILON)
        self.self_attn = Attention(c)
        self.post_attention_layernorm = nn.RMSNorm(c["d_model"], NORM_EPSILON)
        self.mlp = Mlp(c)

    def forward(self, x, cos, sin, cache, start):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, cache, start)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["d_model"])
        self.layers = nn.ModuleList(Block(c) for _ in range(c["n_layers"]))
        self.norm = nn.RMSNorm(c["d_model"], NORM_EPSILON)


class Llama(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.config = c
        self.model = Trunk(c)
        self.lm_head = nn.Linear(c["d_model"], c["output_size"], bias=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 if "embed" in name else 0.7 * p.shape[1] ** -0.5)
        head = c["d_model"] // c["n_heads"]
        frequency = ROPE_THETA ** (-torch.arange(0, head, 2) / head)
        angle = torch.outer(torch.arange(c["max_positions"]), frequency).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def new_cache(self, rows, length):
        c = self.config
        return torch.zeros(c["n_layers"], 2, rows, c["n_heads"], length, c["d_model"] // c["n_heads"])

    def forward(self, ids, cache=None, start=0):
        """Final hidden states. With a cache: one token at position `start`, or a whole prefix at position 0."""
        end = start + ids.shape[1]
        x = self.model.embed_tokens(ids)
        for i, block in enumerate(self.model.layers):
            x = block(x, self.cos[start:end], self.sin[start:end], None if cache is None else cache[i], start)
        return self.model.norm(x)


class Muon(torch.optim.Optimizer):
    """Momentum whose direction is orthogonalised by Newton-Schulz, in f32 (torch.optim.Muon works in bf16, slow on a CPU)."""

    def __init__(self, matrices, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(matrices, dict(lr=lr))
        self.momentum, self.weight_decay = momentum, weight_decay

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            by_shape = {}
            for p in group["params"]:
                by_shape.setdefault(p.shape, []).append(p)
            for (rows, columns), matrices in by_shape.items():
                directions = []
                for p in matrices:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - self.momentum)
                    directions.append(p.grad.lerp(buffer, self.momentum))
                x = torch.stack(directions)
                x = x.mT if rows > columns else x
                x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
                for _ in range(5):
                    gram = x @ x.mT
                    x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
                x = x.mT if rows > columns else x
                rate = group["lr"]
                for p, direction in zip(matrices, x):
                    p.mul_(1 - rate * self.weight_decay).sub_(direction, alpha=rate * max(1, rows / columns) ** 0.5)


def optimisers(model):
    """Muon for the matrices of the blocks, AdamW for the rest; with their base rates."""
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "layers" in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "layers" not in name]
    return [(Muon(matrices, 0.02), 0.02), (torch.optim.AdamW(others, lr=3e-3, weight_decay=0.0, betas=(0.9, 0.98)), 3e-3)]


def update(model, optims, loss, scale):
    for optimiser, rate in optims:
        for group in optimiser.param_groups:
            group["lr"] = rate * scale
        optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimiser, _ in optims:
        optimiser.step()


def load(path, c):
    model = Llama(c)
    model.load_state_dict(torch.load(path))
    return model.eval()


FORBIDDEN = [i for i in range(VOCAB_SIZE) if i <= EOS or i > TOKEN_ID["\n"]]


class Rows:
    """Completions in lockstep. All problems have as many numbers, all prefixes as many lines.

    claim: the numbers that the last line claims to be left (None after a malformed line);
    truth: the numbers that are left, or None once a line was wrong.
    """

    @torch.no_grad()
    def __init__(self, policy, prefixes, copies=1, generator=None, temperature=1.0):
        """prefixes: (target, numbers, text of the lines so far, numbers left)."""
        self.policy, self.generator, self.temperature = policy, generator, temperature
        each = [p for p in prefixes for _ in range(copies)]
        self.target = [p[0] for p in each]
        self.claim = [tuple(p[3]) for p in each]
        self.truth = list(self.claim)
        self.text = [p[2] for p in each]
        self.left = len(self.claim[0])
        ids = torch.tensor([[BOS] + encode(prompt_text(p[0], p[1]) + p[2]) for p in prefixes])
        self.position = ids.shape[1]
        length = self.position + sum(line_length(k) for k in range(1, self.left))
        cache = policy.new_cache(len(prefixes), length)
        self.logits = policy.lm_head(policy(ids, cache)[:, -1]).repeat_interleave(copies, 0)
        self.cache = cache.repeat_interleave(copies, 2)

    @torch.no_grad()
    def advance(self):
        """Writes one line in every row."""
        self.left -= 1
        columns = []
        for _ in range(line_length(self.left)):
            self.logits[:, FORBIDDEN] = -1e9
            if self.temperature == 0:
                ids = self.logits.argmax(-1)
            else:
                p = F.softmax(self.logits / self.temperature, -1)
                ids = torch.multinomial(p, 1, generator=self.generator)[:, 0]
            columns.append(ids)
            self.logits = self.policy.lm_head(self.policy(ids[:, None], self.cache, self.position)[:, -1])
            self.position += 1
        for i, row in enumerate(torch.stack(columns, 1).tolist()):
            line = decode(row)
            self.text[i] += line
            if self.claim[i] is not None:
                after, self.claim[i] = read_line(line, self.claim[i])
                self.truth[i] = after if self.truth[i] is not None else None

    def finish(self):
        while self.left > 1:
            self.advance()
        return self.won()

    def won(self):
        return [x == (t,) for x, t in zip(self.truth, self.target)]


@torch.no_grad()
def exact_values(policy, prefixes, temperature=1.0, budget=40_000):
    """The policy's probability of success from each prefix: the sum over all solutions of the probability of their text."""
    values = [0.0] * len(prefixes)
    pending = []  # (index of the prefix, ids, tokens of the prefix)
    for i, (target, numbers, text, left) in enumerate(prefixes):
        head = [BOS] + encode(prompt_text(target, numbers) + text)
        pending += [(i, head + encode(tail), len(head)) for tail in solutions(target, tuple(left))]
    pending.sort(key=lambda item: len(item[1]))
    position = 0
    while position < len(pending):
        length = len(pending[position][1])
        batch = [item for item in pending[position : position + max(1, budget // length)] if len(item[1]) == length]
        position += len(batch)
        ids = torch.tensor([item[1] for item in batch])
        first = min(item[2] for item in batch)
        logits = policy.lm_head(policy(ids[:, :-1])[:, first - 1 :])
        logits[..., FORBIDDEN] = -1e9
        log_p = F.log_softmax(logits / temperature, -1).gather(2, ids[:, first:, None])[..., 0]
        for (i, _, start), row in zip(batch, log_p):
            values[i] += row[start - first :].sum().exp().item()
    return values

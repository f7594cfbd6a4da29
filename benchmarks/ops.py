"""Our operations against the obvious composition of PyTorch calls: ratios of interleaved medians.

python benchmarks/ops.py [PATTERN] [--dtype bfloat16] [--device cuda] [--threads 2] [--rounds 9] [--compiled] [--json]

PATTERN: only the rows whose name it matches, as "LRN|pooling". Ratio over 1: ours is faster, forward and backward together.
Rows "a call of" ask for the opposite: what one right call of a tiny input costs beside PyTorch's own, forward
only, in processor time of one thread. Ratio under 1: ours costs more; the issue that asked allows 1 / 1.3 = 0.77.
Limit: the least time that the bytes (each input, output and their gradients moved once, at the measured
copy bandwidth) or the multiply-adds (forward and two backward, at the measured matrix rate of the type)
allow, whichever is longer, and what share of the time ours took that is.
"""

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate import shapes
from striate.layers.conv import Conv2d
from striate.layers.norm import BatchNorm
from striate.layers.pool import AvgPool2d
from striate.ops import conv, local, norm, pool, separable, transposed

Call = Callable[..., Tensor]
SIZES = {
    "LeNet": ((64, 6, 28, 28), 2, 2, 0),
    "AlexNet": ((16, 96, 55, 55), 3, 2, 0),
    "ResNet": ((8, 64, 112, 112), 3, 2, 1),
}


@dataclass(frozen=True)
class Work:
    """One comparison: the same tensors through ours and through the peer."""

    name: str
    ours: Call
    peer: Call
    tensors: tuple[Tensor, ...]
    macs: int = 0
    checked: bool = True
    peer_tensors: tuple[Tensor, ...] | None = None


def rand(*shape: int, scale: float = 1.0) -> Tensor:
    """Normal numbers of a fixed seed, with a gradient."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * scale
    return x.requires_grad_()


def there_and_back(call: Call, tensors: tuple[Tensor, ...]) -> Tensor:
    """One forward and one backward."""
    y = call(*tensors)
    torch.autograd.grad(y, tensors, torch.ones_like(y))
    return y


# --- the obvious compositions --------------------------------------------------------------------


def peer_response(x: Tensor) -> Tensor:
    """PyTorch's own, which has no kernel for bfloat16 on a processor: there by way of float32."""
    if x.dtype is torch.bfloat16 and x.device.type == "cpu":
        return F.local_response_norm(x.float(), 5).to(x.dtype)
    return F.local_response_norm(x, 5)


def peer_weighted(x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """Depthwise convolution over that of ones, so that weights on real cells sum to one."""
    y = F.conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1])
    if not padding:
        return y
    return y / F.conv2d(torch.ones_like(x[:1, :1]), weight[:1], stride=stride, padding=padding)


def patches(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """[N, C, K, P]."""
    return F.unfold(x, kernel, stride=stride, padding=padding).view(
        *x.shape[:2], kernel * kernel, -1
    )


def peer_draw(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Unfold, draw from the rectified values, gather."""
    u = patches(x, kernel, stride, padding).transpose(2, 3).reshape(-1, kernel * kernel)
    r = u.detach().relu()
    r = r + (r.sum(1, keepdim=True) == 0)
    return u.gather(1, torch.multinomial(r, 1))


def peer_expect(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """Unfold, normalise, sum; as ours where no window is without a positive value."""
    u = patches(x, kernel, stride, padding)
    r = u.relu()
    return (r / r.sum(2, keepdim=True).clamp_min(1e-12) * u).sum(2)


def peer_kmax(x: Tensor, k: int) -> Tensor:
    """Top k, its places sorted, gathered."""
    return x.gather(-1, x.topk(k).indices.sort().values)


def peer_local(x: Tensor, weight: Tensor, kernel: int, stride: int) -> Tensor:
    """Unfold and einsum."""
    return torch.einsum("nkp,pok->nop", F.unfold(x, kernel, stride=stride), weight)


def peer_same(x: Tensor, weight: Tensor) -> Tensor:
    """The padding worked out, added, then the convolution of 3 with stride 2."""
    before, after = (1, 1) if x.shape[3] % 2 else (0, 1)
    return F.conv2d(F.pad(x, [before, after, before, after]), weight, stride=2)


# --- what is compared ----------------------------------------------------------------------------


def pooling() -> Iterator[Work]:
    """Kinds of pooling at three sizes."""
    for size, (shape, k, s, p) in SIZES.items():
        x = rand(*shape)
        win = {"kernel_size": k, "stride": s, "padding": p}
        for norm_type in (2, 3):
            yield Work(
                f"L{norm_type} pooling, {size}",
                partial(pool.lp_pool, norm_type=norm_type, **win),
                lambda x, n=norm_type, p=p, k=k, s=s: F.lp_pool2d(F.pad(x, [p] * 4).abs(), n, k, s),
                (x,),
            )
        weights = torch.tensor(pool.gaussian_weights(k, 1.0))
        kernel = torch.outer(weights, weights).expand(shape[1], 1, k, k).contiguous()
        yield Work(
            f"weighted pooling, {size}",
            partial(pool.weighted_avg_pool, sigma=1.0, **win),
            lambda x, w=kernel, s=s, p=p: peer_weighted(x, w.to(x), s, p),
            (x,),
        )
        yield Work(
            f"stochastic pooling, drawn, {size}",
            partial(pool.stochastic_pool, **win),
            lambda x, k=k, s=s, p=p: peer_draw(x, k, s, p),
            (x,),
            checked=False,
        )
        yield Work(
            f"stochastic pooling, expected, {size}",
            partial(pool.stochastic_pool, training=False, **win),
            lambda x, k=k, s=s, p=p: peer_expect(x, k, s, p),
            ((x.detach().abs() + 0.01).requires_grad_(),),
        )
    for shape, k in (((64, 100, 50), 5), ((32, 256, 200), 4), ((16, 512, 1000), 8)):
        yield Work(
            f"{k}-max pooling of {shape[-1]}",
            partial(pool.kmax_pool, k=k),
            partial(peer_kmax, k=k),
            (rand(*shape),),
        )


def normalisation() -> Iterator[Work]:
    """Local response normalisation."""
    for size, (shape, _, _, _) in SIZES.items():
        ours = partial(norm.local_response_norm, size=5)
        yield Work(f"LRN, {size}", ours, peer_response, (rand(*shape),))


def padding() -> Iterator[Work]:
    """Fills that a convolution of PyTorch does not take; `same` with a stride."""
    for size, (shape, _, _, _) in SIZES.items():
        x, w = rand(*shape), rand(shape[1], shape[1], 3, 3, scale=0.1)
        cost = shapes.conv_cost(
            shape[1:], out_channels=shape[1], kernel_size=3, padding=1, bias=False
        )
        for fill in ("reflect", "replicate", "circular"):
            yield Work(
                f"3x3 convolution, {fill}, {size}",
                partial(conv.conv2d, padding=1, fill=fill),
                lambda x, w, fill=fill: F.conv2d(F.pad(x, [1] * 4, mode=fill), w),
                (x, w),
                macs=shape[0] * cost.macs,
            )
        yield Work(
            f"3x3 convolution, same, stride 2, {size}",
            partial(conv.conv2d, padding="same", stride=2),
            peer_same,
            (x, w),
            macs=shape[0] * cost.macs // 4,
        )
        yield Work(
            f"3x3 convolution, PyTorch's own, {size}",
            partial(conv.conv2d, padding=1),
            lambda x, w: F.conv2d(x, w, padding=1),
            (x, w),
            macs=shape[0] * cost.macs,
        )


def separated() -> Iterator[Work]:
    """A Gaussian axis by axis against the dense depthwise kernel."""
    for size, (shape, _, _, _) in SIZES.items():
        for k in (7, 15):
            line = torch.tensor(pool.gaussian_weights(k, k / 5))
            dense = torch.outer(line, line).expand(shape[1], 1, k, k).contiguous()
            yield Work(
                f"Gaussian {k}x{k}, {size}",
                lambda x, f=line: separable.separable_conv(x, [f.to(x)] * 2, padding="same"),
                lambda x, w=dense, k=k: F.conv2d(x, w.to(x), padding=k // 2, groups=x.shape[1]),
                (rand(*shape),),
                macs=2 * k * prod(shape),
            )


def locals_() -> Iterator[Work]:
    """Own kernels everywhere, and LeNet's table."""
    for shape, o, k, s in (
        ((64, 6, 14, 14), 16, 5, 1),
        ((128, 3, 32, 32), 16, 5, 2),
        ((32, 64, 14, 14), 64, 3, 1),
    ):
        n, c, high, _ = shape
        m = shapes.out_size(high, kernel=k, stride=s)
        weight = rand(m, m, o, k, k, c, scale=0.1)
        flat = weight.detach().permute(0, 1, 2, 5, 3, 4).reshape(m * m, o, c * k * k)
        x = rand(*shape)
        yield Work(
            f"locally connected {k}x{k}, {c} to {o} maps of {high}",
            lambda x, w, s=s: local.local_conv(x, w, stride=s).flatten(2),
            partial(peer_local, kernel=k, stride=s),
            (x, weight),
            macs=n * m * m * o * c * k * k,
            peer_tensors=(x, flat.contiguous().requires_grad_()),
        )
    places = local.table_places(local.LENET_TABLE, 6)
    for n in (64, 256):
        packed, dense, mask = (
            rand(60, 5, 5, scale=0.1),
            torch.zeros(96, 5, 5),
            torch.zeros(96, 1, 1),
        )
        dense[places], mask[places] = packed.detach(), 1
        x, at = rand(n, 6, 14, 14), torch.tensor(places)
        yield Work(
            f"LeNet's table, batch {n}",
            lambda x, w, at=at: conv.conv2d(x, local.dense_weight(w, at.to(x.device), (16, 6))),
            lambda x, w, mask=mask: F.conv2d(x, w * mask.view(16, 6, 1, 1).to(x)),
            (x, packed),
            macs=n * 100 * 60 * 25,
            peer_tensors=(x, dense.view(16, 6, 5, 5).requires_grad_()),
        )


def calls() -> Iterator[tuple[str, Callable[[], object], Callable[[], object]]]:
    """Right calls so small that what surrounds the kernel shows: ours, and PyTorch's own."""
    x, w, b = torch.rand(1, 3, 8, 8), torch.rand(4, 3, 3, 3), torch.rand(4)
    back, even = torch.rand(3, 4, 3, 3), (2, 2)
    layers = [
        (Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)),
        (Conv2d(3, 4, 3, padding="same"), nn.Conv2d(3, 4, 3, padding="same")),
        (AvgPool2d(2), nn.AvgPool2d(2)),
        (BatchNorm(3).eval(), nn.BatchNorm2d(3).eval()),
    ]
    yield "conv2d", lambda: conv.conv2d(x, w, b), lambda: F.conv2d(x, w, b)
    yield (
        "conv2d, all settings",
        lambda: conv.conv2d(x, w, b, stride=even, padding=(1, 1), dilation=(1, 1)),
        lambda: F.conv2d(x, w, b, stride=even, padding=(1, 1), dilation=(1, 1)),
    )
    yield (
        "conv_transpose2d",
        lambda: transposed.conv_transpose2d(x, back, b, stride=2),
        lambda: F.conv_transpose2d(x, back, b, stride=2),
    )
    yield "avg_pool2d", lambda: pool.avg_pool2d(x, kernel_size=2), lambda: F.avg_pool2d(x, 2)
    yield (
        "avg_pool2d, all settings",
        lambda: pool.avg_pool2d(x, kernel_size=3, stride=2, padding=1),
        lambda: F.avg_pool2d(x, kernel_size=3, stride=2, padding=1),
    )
    yield "max_pool2d", lambda: pool.max_pool2d(x, kernel_size=2), lambda: F.max_pool2d(x, 2)
    for ours, own in layers:
        yield f"{own}", partial(ours, x), partial(own, x)


def measure_calls(args: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Rows of `calls`, turn by turn in bursts of some milliseconds of processor time."""
    torch.set_num_threads(1)
    for name, ours, own in calls():
        times: tuple[list[float], list[float]] = ([], [])
        turns = [(ours, times[0]), (own, times[1])]
        for _ in range(max(31, args.rounds)):
            turns.reverse()
            for call, taken in turns:
                start = time.process_time()
                for _ in range(1000):
                    call()
                taken.append(time.process_time() - start)
        mine_s, own_s = map(statistics.median, times)
        yield {
            "work": f"a call of {name}",
            "ratio": round(own_s / mine_s, 2),
            "cost": round(mine_s / own_s, 2),
            "runs": len(times[0]),
        }
    torch.set_num_threads(args.threads)


# --- measuring -----------------------------------------------------------------------------------


def clock(call: Callable[[], object], device: str) -> float:
    """Seconds of one call."""
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def rates(device: str, dtype: torch.dtype) -> tuple[float, float]:
    """Bytes a second of a copy (read and written), multiply-adds a second of a matrix product."""
    big = torch.rand(2**24, device=device)
    out, square = torch.empty_like(big), torch.rand(1024, 1024, device=device).to(dtype)
    copy = min(clock(lambda: out.copy_(big), device) for _ in range(9))
    product = min(clock(lambda: square @ square, device) for _ in range(9))
    return 2 * big.nbytes / copy, 1024**3 / product


def measure(work: Work, args: argparse.Namespace, speed: tuple[float, float]) -> dict[str, object]:
    """One row: both checked against each other, then timed turn by turn."""
    dtype: torch.dtype = getattr(torch, args.dtype)
    ours_in, peer_in = (
        tuple(t.detach().to(args.device, dtype).requires_grad_() for t in tensors)
        for tensors in (work.tensors, work.peer_tensors or work.tensors)
    )
    mine = torch.compile(work.ours) if args.compiled else work.ours
    ours, peer = partial(there_and_back, mine, ours_in), partial(there_and_back, work.peer, peer_in)
    y, z = ours(), peer()
    if work.checked:
        near = (
            {"rtol": 1e-3, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 0.1, "atol": 0.1}
        )
        torch.testing.assert_close(y.reshape(-1), z.reshape(-1), **near)
    times: tuple[list[float], list[float]] = ([], [])
    turns = [(ours, times[0]), (peer, times[1])]
    for _ in range(args.rounds):
        turns.reverse()
        for call, taken in turns:
            taken.append(clock(call, args.device))
    mine_s, peer_s = map(statistics.median, times)
    moved = 2 * (sum(t.nbytes for t in ours_in) + y.nbytes)
    bound = max((moved / speed[0], "bytes"), (3 * work.macs / speed[1], "multiply-adds"))
    return {
        "work": work.name,
        "ratio": round(peer_s / mine_s, 2),
        "limit_ms": round(1e3 * bound[0], 3),
        "limited_by": bound[1],
        "share": round(bound[0] / mine_s, 3),
        "runs": args.rounds,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--compiled", action="store_true", help="ours compiled, the peer eager")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    speed = rates(args.device, getattr(torch, args.dtype))
    capability = torch.backends.cpu.get_cpu_capability() if args.device == "cpu" else args.device
    if not args.json:
        print(f"{args.device} ({capability}), {args.threads} threads, torch {torch.__version__}")
        print(f"copy {speed[0] / 1e9:.1f} GB/s, {args.dtype} product {speed[1] / 1e9:.1f} GMAC/s")
    rows: list[dict[str, object]] = []
    if args.device == "cpu" and re.search(args.pattern, "a call of", re.IGNORECASE):
        for row in measure_calls(args):
            rows.append(row)
            if not args.json:
                print(
                    f"{row['work']:52} {row['ratio']:>6} x   costs {row['cost']} times", flush=True
                )
    for group in (normalisation, pooling, padding, separated, locals_):
        for work in group():
            if not re.search(args.pattern, work.name, re.IGNORECASE):
                continue
            rows.append(row := measure(work, args, speed))
            if not args.json:
                limit = (
                    f"limit {row['limit_ms']} ms by {row['limited_by']}, reached {row['share']:.0%}"
                )
                print(f"{work.name:52} {row['ratio']:>6} x   {limit}", flush=True)
    if args.json:
        print(json.dumps({"device": args.device, "threads": args.threads, "rows": rows}))


if __name__ == "__main__":
    main()

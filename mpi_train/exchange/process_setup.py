"""Set-up of a process before it computes: threads, cores, memory."""

import os

import torch

from mpi_train.configuration.config import TrainingConfig
from reviews.runtime.memory import keep_freed_memory

LSTMS = ("lstm", "bilstm-attention")  # for which torch has no float16 on processors


def has_bf16(device: torch.device) -> bool:
    """True when the hardware multiplies bfloat16 numbers, so that they are worth their rounding."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.backends.cpu.get_cpu_capability().startswith("AVX512")
                and torch.cpu._is_avx512_bf16_supported())


def lacking(config: TrainingConfig, device: torch.device, backend: str) -> str | None:
    """Message about what the options ask for and this rank's hardware, or the backend for it,
    lacks, or None; called after `prepare_process`."""
    precision, threads = config.run.precision, torch.get_num_threads()
    if precision == "bf16" and not has_bf16(device):
        return ("--precision bf16 is for hardware that multiplies such numbers: "
                "give --precision fp32")
    if precision == "fp16" and device.type == "cpu" and config.model in LSTMS:
        return (f"--precision fp16 trains --model {config.model} on GPUs alone: "
                "give --precision fp32")
    if config.exchange.parallel == "fsdp" and device.type == "cuda" and backend == "gloo":
        return ("--parallel fsdp on GPUs needs one for each rank: gloo does not gather what lies "
                "in their memory, as nccl does. Give --device cpu, or fewer ranks")
    if config.exchange.parallel == "model" and device.type != "cpu":
        return "--parallel model is for processors: give --device cpu, or --parallel data"
    if config.exchange.parallel == "model" and threads < 2:
        return (f"--parallel model is for ranks of two threads or more, and here one has "
                f"{threads}: give --threads 2, or --parallel data")
    return None


def prepare_process(
    threads: int, core_sharers: int, local_rank: int = 0, pin: bool = False
) -> None:
    """Set the threads of this process before any start, and how it computes.

    fp32 is fp32 on GPUs too: torch would have cuDNN round the factors of recurrent layers and
    convolutions to the 10 bits of TF32, and sums depend on how a batch is divided.

    Denormal numbers are flushed to zero in every thread, since threads inherit this from the
    one that starts them: gradients that fade along long reviews are 6 times slower otherwise.

    Args:
        threads: 0 takes OMP_NUM_THREADS, else divides the cores of this process by the ranks
            that share them.
        core_sharers: number of these ranks.
        local_rank, pin: with pin, the process keeps to cores of its own, as many as it has
            threads; where ranks have more threads than there are cores, they share in turn.
    """
    cores = sorted(os.sched_getaffinity(0))
    threads = threads or _omp_threads() or max(1, len(cores) // core_sharers)
    if pin:
        first = local_rank * threads
        os.sched_setaffinity(0, {cores[i % len(cores)] for i in range(first, first + threads)})
    torch.backends.cudnn.allow_tf32 = False
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
    keep_freed_memory()


def processes_text(ranks: int, backend: str, device: torch.device) -> str:
    """Number of ranks and of the threads of each, and what would make more of a CPU's cores.

    Operations of a recurrent model are too small for two threads to gain much.
    """
    threads = torch.get_num_threads()
    text = (f"{ranks} {'rank' if ranks == 1 else 'ranks'} ({backend}), "
            f"{threads} {'thread' if threads == 1 else 'threads'} each")
    if ranks == 1 and threads > 1 and device.type == "cpu":
        text += f" (--ranks {threads} uses as many cores, and small models gain by it)"
    return text


def _omp_threads() -> int:
    """The number in OMP_NUM_THREADS, the first of several levels; 0 where it names none.

    torchrun sets 1 where nobody has set anything, which then is nobody's wish.
    """
    value = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if not value.isdigit() or (value == "1" and "TORCHELASTIC_RUN_ID" in os.environ):
        return 0
    return int(value)

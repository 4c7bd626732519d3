"""A token's synchronizations, and shapes of models, to count the instructions of."""



from host.model.checkpoint import Config
from host.parallel.cost.instructions import chip_instructions
from host.parallel.cost.kernel_costs import KERNELS
from host.parallel.synchronization import Widths

# As stories260K, with random weights.
STORIES = Config(
    dim=64, hidden_dim=172, layers=5, heads=8, kv_heads=4, vocab_size=512, context=512
)
BITS = 23  # of partial sums in stories260K's text


def token_of(plan, greedy=False):
    """The synchronizations of a token of the plan."""
    widths = Widths(lambda *_: BITS, BITS, lambda layer: BITS)
    return plan.strategy.synchronizations(plan, greedy, widths)


def busiest(plan, position, kernels=KERNELS["rv32imc"]):
    """The instructions of the chip that executes most for a token."""
    return max(
        sum(chip_instructions(plan, chip, each, position, kernels) for each in token_of(plan))
        for chip in range(plan.chips)
    )

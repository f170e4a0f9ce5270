"""FSDP2: weights, their gradients and the optimizer's state are sharded over the workers, and gathered only where needed.

Blocks of the image encoder and layers of the text encoder are gathered one at a time, forward and backward; what is left (word
embeddings, heads, patches) for the full step. Weights travel and gradients are summed in float32; autocast computes in the
loop's precision, as it does without.
"""

import warnings
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from cosa.distributed import world_size
from cosa.model import COSA
from cosa.objectives.heads import model_of
from cosa.training.losses import StepLosses


def shard(losses: StepLosses, device: torch.device) -> None:
    """Shard the weights over all workers, in place; before the optimizer is built."""
    # Keys and values are views; nothing works on them in place.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    mesh = init_device_mesh(device.type, (world_size(),))
    _make_vectors_of_scalars(losses.model)
    for block in vision_blocks(losses.model):
        fully_shard(block, mesh=mesh)
    for layer in losses.model.multimodal.layers:
        fully_shard(layer, mesh=mesh)
        register_fsdp_forward_method(layer, "within")
    fully_shard(losses, mesh=mesh)


def _make_vectors_of_scalars(model: COSA) -> None:
    """FSDP takes no scalars: such parameters become vectors of one element. The model notes their names, see `full_weights`."""
    scalars = [name for name, parameter in model.named_parameters() if parameter.dim() == 0]
    for name in scalars:
        module, _, own_name = name.rpartition(".")
        scalar = model.get_parameter(name)
        vector = nn.Parameter(scalar.detach().reshape(1), requires_grad=scalar.requires_grad)
        setattr(model.get_submodule(module), own_name, vector)
    model.sharded_scalars = frozenset(scalars)


def vision_blocks(model: COSA) -> Iterable[nn.Module]:
    """The transformer blocks of the image encoder."""
    return model.vision.family.blocks(model.vision.backbone)


def is_sharded(module: nn.Module) -> bool:
    """Whether the weights of a module are sharded over workers."""
    return isinstance(module, FSDPModule)


def local_part(tensor: Tensor) -> Tensor:
    """This worker's part of a sharded tensor, whose memory it shares; another tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full(tensor: Tensor, *, scalar: bool = False) -> Tensor:
    """A sharded tensor put together; all workers must ask for it. Another tensor as it is.

    scalar: it belongs to a parameter that is a scalar without sharding.
    """
    if not isinstance(tensor, DTensor):
        return tensor
    together: Tensor = tensor.full_tensor()
    return together.reshape(()) if scalar else together


def full_weights(model: COSA, weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """`full` of some of a model's weights, by name, one after the other; without gradients."""
    for name, weight in weights.items():
        yield name, full(weight.detach(), scalar=name in model.sharded_scalars)


def sharded_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A full tensor, which every worker has, sharded as another one is; nothing travels."""
    if not isinstance(like, DTensor):
        return tensor
    own_shape = tensor.reshape(like.shape).to(like.device)
    return distribute_tensor(own_shape, like.device_mesh, like.placements, src_data_rank=None)


def load_full(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """`load_state_dict` of full weights, which every worker has, into a module that may be sharded."""
    module.load_state_dict({name: sharded_like(weights[name], value) for name, value in module.state_dict().items()})


def full_copy(model: COSA, device: torch.device) -> COSA:
    """A model with all weights of a sharded one, on every worker, in evaluation mode; all workers must ask for it."""
    copy = model_of(model.config).to(device)
    targets = copy.state_dict()
    for name, weight in full_weights(model, model.state_dict()):
        targets[name].copy_(weight)
    return copy.eval()

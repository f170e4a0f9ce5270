"""FSDP2: weights, their gradients and the optimizer's state divided over the workers; whole only where and while needed.

Blocks of the image encoder and layers of the text encoder are gathered one at a time, forward and backward; what is left (word
embeddings, heads, patches) for the whole step. Weights travel and gradients are summed in float32; autocast computes in the
loop's precision, as it does without.
"""

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from cosa.distributed import world_size
from cosa.model import COSA
from cosa.training.losses import StepLosses


def shard(losses: StepLosses, device: torch.device) -> None:
    """Divide the weights over all workers, in place; before the optimizer is built."""
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
    """FSDP takes no scalars: such parameters become vectors of one element, as no other parameter is; `whole` reverses it."""
    for name, parameter in list(model.named_parameters()):
        assert parameter.shape != (1,), f"{name} would be taken for a scalar"
        if parameter.dim() == 0:
            module, _, own_name = name.rpartition(".")
            vector = nn.Parameter(parameter.detach().reshape(1), requires_grad=parameter.requires_grad)
            setattr(model.get_submodule(module), own_name, vector)


def vision_blocks(model: COSA) -> Iterable[nn.Module]:
    """The transformer blocks of the image encoder."""
    return model.vision.family.blocks(model.vision.backbone)


def is_sharded(module: nn.Module) -> bool:
    """Whether the weights of a module are divided over workers."""
    return isinstance(module, FSDPModule)


def local_part(tensor: Tensor) -> Tensor:
    """This worker's part of a tensor that is divided, and shares its memory; another tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """A divided tensor put together; all workers must ask for it. Another tensor as it is."""
    if not isinstance(tensor, DTensor):
        return tensor
    together: Tensor = tensor.full_tensor()
    return together[0] if together.shape == (1,) else together


def divided_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, which every worker has, divided as another one is; nothing travels."""
    if not isinstance(like, DTensor):
        return tensor
    own_shape = tensor.reshape(like.shape).to(like.device)
    return distribute_tensor(own_shape, like.device_mesh, like.placements, src_data_rank=None)


def load_whole(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """`load_state_dict` of whole weights, which every worker has, into a module that may be divided."""
    module.load_state_dict({name: divided_like(weights[name], value) for name, value in module.state_dict().items()})


def whole_copy(model: COSA, device: torch.device) -> COSA:
    """A model with all weights of a divided one, on every worker, in evaluation mode; all workers must ask for it."""
    copy = COSA(model.config).to(device)
    targets = copy.state_dict()
    for name, value in model.state_dict().items():
        targets[name].copy_(whole(value.detach()))
    return copy.eval()

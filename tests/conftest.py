import torch

torch.set_num_threads(1)  # the models of the tests are tiny: more threads only wait for one another

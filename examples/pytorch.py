"""Per-step gradients that PyTorch does not show: the same total, taken apart by loss and by step.

Needs PyTorch.  Run it:  python examples/pytorch.py
"""

import numpy as np
import torch

import unrollviz as uz

run = uz.article()
net = run.network

# The same network in PyTorch: U is weight_ih, W is weight_hh, and PyTorch's second bias is 0.
rnn = torch.nn.RNN(net.inputs, net.hidden, dtype=torch.float64)
readout = torch.nn.Linear(net.hidden, net.outputs, dtype=torch.float64)
with torch.no_grad():
    for module, parameter, name in (
        (rnn, "weight_ih_l0", "U"),
        (rnn, "weight_hh_l0", "W"),
        (rnn, "bias_ih_l0", "b"),
        (readout, "weight", "V"),
        (readout, "bias", "c"),
    ):
        module.get_parameter(parameter).copy_(torch.tensor(net.params[name]))
    rnn.get_parameter("bias_hh_l0").zero_()
recurrent = rnn.get_parameter("weight_hh_l0")

states, _ = rnn(torch.tensor(run.inputs), torch.tensor(run.initial["s0"])[None])
losses = torch.nn.functional.cross_entropy(
    readout(states).flatten(0, 1), torch.tensor(run.targets).flatten(0, 1), reduction="none"
)

# The whole sequence at once, and each loss on its own: do they agree? (pytorch#635)
whole = torch.autograd.grad(losses.sum(), recurrent, retain_graph=True)[0].numpy()
each = [torch.autograd.grad(loss, recurrent, retain_graph=True)[0].numpy() for loss in losses]
print("PyTorch, whole sequence against the sum over losses:", np.abs(whole - sum(each)).max())
print("unrollviz against PyTorch:                          ", np.abs(run.gradient("W") - whole).max())

# What PyTorch adds up silently: the gradient of W at each step k (pytorch#1407).
flow = run.flow("W", by="entry")
for (step,), norm, share in zip(flow.labels, flow.norms, flow.shares, strict=True):
    print(f"W as used at step {step}: norm {norm:.4f}, share {share:+.3f}")
assert np.abs(run.gradient("W") - whole).max() < 1e-12

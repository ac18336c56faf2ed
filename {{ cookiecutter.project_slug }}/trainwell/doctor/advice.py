"""What to change in code where no override helps: networks and modules of one's own."""

from dataclasses import replace

from ..findings import Finding

LOWER = ("where the optimizer is made, a tenth of the learning rate:", "    torch.optim.Adam(parameters, lr=lr / 10)")
ADVICE = {
    "learning_rate_too_high": LOWER,
    "oscillating_loss": LOWER,
    "learning_rate_too_low": (
        "where the optimizer is made, ten times the learning rate:",
        "    torch.optim.Adam(parameters, lr=10 * lr)",
    ),
    "exploding_gradient": ("start the layers up to {where} smaller:", "    nn.init.kaiming_normal_(layer.weight)"),
    "vanishing_gradient": ("from {where}, ReLU and a skip connection:", "    x = x + torch.relu(layer(x))"),
    "dead_units": (
        "before {where}, biases that start at 0, and a small slope below 0:",
        "    nn.init.zeros_(layer.bias); nn.LeakyReLU(0.1)",
    ),
    "saturated_units": ("before {where}, smaller initial weights:", "    nn.init.xavier_normal_(layer.weight)"),
    "bad_initial_loss": ("start {where} at zero:", "    nn.init.zeros_(layer.weight); nn.init.zeros_(layer.bias)"),
    "symmetric_units": ("start {where} at random:", "    layer.reset_parameters()"),
    "excess_dropout": ("in {where}, drop fewer units:", "    nn.Dropout(0.2)"),
    "excess_weight_decay": ("where the optimizer is made and in the loss, less of it:", "    weight_decay=0.0"),
    "overfitting": (
        "more samples, fewer units, dropout, or the best epoch instead of the last:",
        "    nn.Dropout(0.3)",
    ),
    "unscaled_input": ("scale each feature by the train samples:", "    x = (x - x_train.mean(0)) / x_train.std(0)"),
    "constant_input": ("read these features again, or leave them out:", "    x = x[:, x_train.std(0) > 0]"),
    "non_finite": (
        "look for a logarithm, a root or a division of values at or below 0:",
        "    torch.autograd.set_detect_anomaly(True)",
    ),
    "validation_too_small": ("validate on more samples, or in folds:", "    data.split.val=0.3, or data.fold=0"),
}


def advised(finding: Finding) -> Finding:
    """With advice, if it has neither that nor a remedy."""
    if finding.remedies or finding.advice or finding.code not in ADVICE:
        return finding
    rates = [remedy.partition("=")[2] for remedy in finding.gains if remedy.startswith("optimizer.lr=")]
    if rates:
        made = ("where the optimizer is made, the learning rate of the trial:", f"    lr={rates[0]}")
        return replace(finding, advice=made)
    return replace(finding, advice=tuple(line.format(where=finding.where) for line in ADVICE[finding.code]))

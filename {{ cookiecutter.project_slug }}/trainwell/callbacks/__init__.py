"""Lightning callbacks that work with any LightningModule."""

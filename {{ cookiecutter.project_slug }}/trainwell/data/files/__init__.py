"""The files of a user: tables, arrays and images, read, checked and made samples to train on or to predict on."""

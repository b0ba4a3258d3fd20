"""Where sound comes from: a source yields blocks of 16 kHz mono samples with exact positions."""

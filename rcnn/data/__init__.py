"""Videos, frames and pairs: what is decoded, stored, cut and put in order."""

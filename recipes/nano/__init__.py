"""Recipe of `nano`, the small bilingual language model shipped as a frozen backbone.

From text files to a standard Hugging Face folder: tokenizer, token shards, pretraining,
held-out bits per byte, model card. Run it with `python -m recipes.nano --help`.
"""

"""Text processing: cleaning rules, the tokenizer kernel, sequences of word ids."""

"""Fig. 6, K = 16 responses to each prompt: +4.4 % over RLOO.

The paper does not say how many prompts an iteration has then, nor how many iterations. With 256
prompts, as here, an optimizer step has four times as many responses as with K = 4.
"""

BASE = "eurus_7b_8x80gb.py"
SAMPLES_PER_PROMPT = 16
RUN_NAME = "fig6-k16"

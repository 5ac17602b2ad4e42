"""WavLM's attention with one mask; a file of its own, for it alone needs WavLM's module."""

import torch
from torch import Tensor
from transformers.models.wavlm.modeling_wavlm import WavLMAttention


class OneMaskAttention(WavLMAttention):
    """Merges the padding into the relative position bias.

    transformers hands torch a boolean padding mask beside a float bias, which torch has deprecated and warns of at
    every forward pass. Adds no parameters: an attention becomes one by a change of its class.
    """

    def torch_multi_head_self_attention(
        self, hidden_states: Tensor, attention_mask: Tensor | None, gated_position_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        if attention_mask is not None:
            padded = (attention_mask == 0).repeat_interleave(self.num_heads, dim=0)
            gated_position_bias = gated_position_bias.masked_fill(padded[:, None, :], -torch.inf)
        attended: tuple[Tensor, Tensor] = super().torch_multi_head_self_attention(
            hidden_states, None, gated_position_bias
        )
        return attended

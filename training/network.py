"""The network of reader and reranker: MiniLM with a head for relevance and one for spans."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel


class ReaderReranker(nn.Module):
    """`[CLS] question [SEP] passage [SEP]` in; relevance of the pair and span logits out."""

    def __init__(self, folder: Path) -> None:
        """Start from the encoder in `folder`, with new heads."""
        super().__init__()
        # Neither dropout nor fused attention: both are several times slower on a CPU in training.
        self.encoder: Any = AutoModel.from_pretrained(
            folder,
            add_pooling_layer=False,
            attn_implementation="eager",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.encoder.embeddings.requires_grad_(False)
        width = self.encoder.config.hidden_size
        self.pooler = nn.Linear(width, width)
        self.relevance = nn.Linear(width, 1)
        self.span = nn.Linear(width, 2)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Relevance logits `[n]` and start and end logits `[n, tokens, 2]`."""
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        first = torch.tanh(self.pooler(hidden[:, 0]))
        return self.relevance(first)[:, 0].float(), self.span(hidden).float()

"""What a run amounts to: figures, findings in sentences, the page, the model card."""

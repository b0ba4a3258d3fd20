"""Training of edgeser models: corpora, protocols, models, training, evaluation."""

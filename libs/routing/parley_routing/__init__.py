"""What a message is about: a trained head over an embedding and the words, how it is trained and how it is measured."""

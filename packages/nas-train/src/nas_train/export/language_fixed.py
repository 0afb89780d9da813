"""The parts of an exported language model's file that are the same for every cell, as source text."""

from __future__ import annotations

NETWORK = '''
class Network(nn.Module):
    """Texts word by word to the logits of the word that comes next, layer upon layer of cells at each time step."""

    def __init__(self) -> None:
        super().__init__()
        {layers}

    def zero_states(self, texts: int) -> States:
        """The states before the first word of so many texts."""
        return tuple(tuple(self.embedding.new_zeros(texts, size) for size in layer.sizes) for layer in self.layers)

    def forward(self, words: Tensor, states: States | None = None) -> tuple[Tensor, States]:
        """Logits, and the states after the last word, from which the next words of the same texts go on.

        Args:
            words: t x b numbers of words: t words of each of b texts.
            states: those after the words before; None at the beginning of the texts.
        """
        held = list(self.zero_states(words.shape[1]) if states is None else states)
        outputs = []
        for x in F.embedding(words, self.embedding).unbind(0):
            for i, layer in enumerate(self.layers):
                {step}
            outputs.append(x)
        logits = F.linear(torch.stack(outputs), {output}, self.bias)
        return logits, tuple(held)
'''

PREPARE = '''
def read_words(path: str | Path = WORDS) -> list[str]:
    """The words in the order of their numbers."""
    return list(json.loads(Path(path).read_text(encoding="utf-8")))


def prepare(text: str, words: list[str]) -> Tensor:
    """A text as the network reads it: the numbers of its words, t x 1.

    Words stand between blanks. If there is a word for the end of a line, each line ends with it; if there is one for
    words that are not among them, it stands for those.
    """
    numbers = {word: number for number, word in enumerate(words)}
    if END in numbers:
        text = text.replace("\\n", f" {END} ")
    found = [numbers.get(word, numbers.get(UNKNOWN)) for word in text.split()]
    if None in found or not found:
        wrong = repr(text.split()[found.index(None)]) if found else "nothing"
        raise ValueError(f"the text holds {wrong}; expected some of the {len(words)} words")
    return torch.tensor(found)[:, None]
'''

MAIN = '''
def main() -> None:
    """Print how well a text is foreseen and what may come next; without a text, the shapes of what goes in and out."""
    parser = argparse.ArgumentParser(description="Foresee the next word of a text.")
    parser.add_argument("text", nargs="?", help="words between blanks")
    parser.add_argument("--weights", default=WEIGHTS, help="file.safetensors [default: the one beside this file]")
    parser.add_argument("--words", default=WORDS, help="file.json, a list of words [default: the one beside this file]")
    arguments = parser.parse_args()
    network, listed = load(arguments.weights), read_words(arguments.words)
    if arguments.text is None:
        count = sum(parameter.numel() for parameter in network.parameters())
        print(f"words t x b, numbers below {len(listed)}, logits t x b x {len(listed)}, {count} parameters")
        return
    try:
        words = prepare(arguments.text, listed)
    except ValueError as error:
        parser.error(str(error))
    with torch.inference_mode():
        logits, _ = network(words)
        if len(words) > 1:
            loss = F.cross_entropy(logits[:-1, 0], words[1:, 0])
            print(f"perplexity of the words after the first: {loss.exp():.2f}")
        likeliest = logits[-1, 0].softmax(0).topk(min(5, len(listed)))
    for probability, number in zip(*likeliest, strict=True):
        print(f"next word: {listed[number]}, probability {probability:.4f}")


if __name__ == "__main__":
    main()
'''

"""The parts of an exported file that are the same for every network, as source text."""

from __future__ import annotations

WEIGHTED_SUM = '''
class WeightedSum(nn.Module):
    """Sum of tensors of one shape, each scaled by the sigmoid of a learnt number."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs))

    def forward(self, *xs: Tensor) -> Tensor:
        """Any number of tensors of one shape, to that shape."""
        scales = torch.sigmoid(self.weight).to(xs[0].dtype)
        total = xs[0] * scales[0]
        for i in range(1, len(xs)):
            total = torch.addcmul(total, xs[i], scales[i])
        return total
'''

ATTENTION = '''
class Attention(nn.Module):
    """The sum of all inputs but the first, weighted by a mask: the first one, stretched to [0, 1] for each image."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.ones(()))
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, first: Tensor, *rest: Tensor) -> Tensor:
        """At least two tensors of one shape, to that shape."""
        total = sum(rest[1:], start=rest[0])
        gated = self.gate * first
        axes = tuple(range(1, first.dim()))
        lowest = gated.amin(axes, keepdim=True)
        span = gated.amax(axes, keepdim=True) - lowest
        mask = (gated - lowest) / span.clamp_min(1e-12)
        return (torch.sigmoid(self.scale) + mask) * total
'''

ZEROS = '''
def zeros(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Zeros, b x shape, of the type and on the device of x."""
    return x.new_zeros((x.shape[0], *shape))
'''

MIN_POOL = '''
Size = int | tuple[int, int]


def min_pool2d(x: Tensor, kernel: Size, stride: Size, padding: Size) -> Tensor:
    """Minimum over windows; padding never counts. b x c x h x w to b x c x h' x w'."""
    return -F.max_pool2d(-x, kernel, stride, padding)
'''

PREPARE = '''
def prepare(images: Tensor) -> Tensor:
    """Images as the network reads them: each channel with mean 0 and deviation 1 over the images it was trained on.

    Args:
        images: b x c x h x w, whole numbers from 0 to 255 (uint8) or floating-point numbers from 0 to 1.
    """
    if tuple(images.shape[1:]) != INPUT_SHAPE:
        raise ValueError(f"images of shape {tuple(images.shape)}; expected b x {' x '.join(map(str, INPUT_SHAPE))}")
    if images.dtype == torch.uint8:
        images = images.to(torch.float32) / 255
    mean, deviation = (torch.tensor(values, device=images.device)[:, None, None] for values in (MEAN, DEVIATION))
    return (images - mean) / deviation
'''

READ_WEIGHTS = '''
TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64}


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name.

    Such a file is the length of a header (8 bytes, little-endian), the header (JSON: type, shape and place of each
    tensor), and the numbers.
    """
    data = bytearray(Path(path).read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    if len(data) < 8 or start > len(data):
        raise ValueError(f"{path}: no safetensors file, or a truncated one")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        dtype, shape, (begin, end) = TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        count = math.prod(shape)
        if not 0 <= begin < end <= len(data) - start or end - begin != count * dtype.itemsize:
            raise ValueError(f"{path}: {name} does not lie where the header says, or the file is truncated")
        tensors[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=start + begin).reshape(shape).clone()
    return tensors


def load(path: str | Path = WEIGHTS) -> Network:
    """The network with the weights of a file, in evaluation mode."""
    network = Network()
    network.load_state_dict(read_weights(path))
    return network.eval()
'''

MAIN = '''
def read_images(path: str | Path) -> Tensor:
    """The images of a .npy file: b x c x h x w, uint8 or float32."""
    data = bytearray(Path(path).read_bytes())
    wide = 4 if data[6:7] > b"\\x01" else 2
    start = 8 + wide + int.from_bytes(data[8 : 8 + wide], "little")
    if data[:6] != b"\\x93NUMPY" or start > len(data):
        raise ValueError(f"{path}: no .npy file, or a truncated one")
    header = ast.literal_eval(data[8 + wide : start].decode("latin1"))
    dtype = {"|u1": torch.uint8, "<f4": torch.float32}.get(header["descr"])
    if dtype is None or header["fortran_order"] or len(data) - start != math.prod(header["shape"]) * dtype.itemsize:
        raise ValueError(f"{path}: {header}; expected whole images of type uint8 or float32 in C order")
    return torch.frombuffer(data, dtype=dtype, offset=start).reshape(header["shape"])


def main() -> None:
    """Print the class and its probability for each image of a file; without one, the shapes of what goes in and out."""
    parser = argparse.ArgumentParser(description="Classify images.")
    parser.add_argument("images", nargs="?", help="file.npy with images, b x c x h x w, uint8 or float32 from 0 to 1")
    parser.add_argument("--weights", default=WEIGHTS, help="file.safetensors [default: the one beside this file]")
    arguments = parser.parse_args()
    network = load(arguments.weights)
    images = torch.zeros(1, *INPUT_SHAPE) if arguments.images is None else read_images(arguments.images)
    with torch.inference_mode():
        logits = network(prepare(images))
    if arguments.images is None:
        count = sum(parameter.numel() for parameter in network.parameters())
        print(f"images b x {' x '.join(map(str, INPUT_SHAPE))}, logits b x {logits.shape[1]}, {count} parameters")
        return
    for number, probabilities in enumerate(logits.softmax(1)):
        print(f"image {number}: class {int(probabilities.argmax())}, probability {float(probabilities.max()):.4f}")


if __name__ == "__main__":
    main()
'''

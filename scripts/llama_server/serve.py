"""Serves a GGUF file by llama.cpp's HTTP server until standard input closes.

    serve.py MODEL.gguf PORT [SLOTS]

Needs xllamacpp. Port 0 takes a free one; the address is the one line on standard output.
"""

import sys

import xllamacpp


def main(model, port, slots=8):
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = int(port)
    parameters.n_parallel = int(slots)
    # Per slot; the server caps it at the context that the model was trained for.
    parameters.n_ctx = 512 * int(slots)
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.warmup = False
    parameters.fit_params = False
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    del server


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])

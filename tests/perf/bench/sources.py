"""Folders full of files, made the same way each time."""
import random

from orchtest import *

A_FOLDER = 100    # files in one folder
FOLDERS = 30      # such folders in one above


def path_of(number):
    """Where file `number` lies below the root of the tree."""
    return "d%d/e%d/f%d" % (number // A_FOLDER // FOLDERS, number // A_FOLDER, number)


def many_files(root, count, size, salt=0, contents=0):
    """
    count files of size bytes: text that repeats, so it compresses. contents: how many different ones (0: all differ);
    few are enough where only names count, and spare the store as many objects.
    """
    for i in range(count):
        if i % A_FOLDER == 0:
            os.makedirs(os.path.dirname("%s/%s" % (root, path_of(i))))
        text = b"%d %d " % (i % contents if contents else i, salt)
        put("%s/%s" % (root, path_of(i)), (text * (size // len(text) + 1))[:size])


def mixed_files(root, count, size, seed=1):
    """As many_files, but half of each file is noise, as of assets: compressing it brings about half."""
    noise = random.Random(seed)
    for i in range(count):
        if i % A_FOLDER == 0:
            os.makedirs(os.path.dirname("%s/%s" % (root, path_of(i))))
        put("%s/%s" % (root, path_of(i)), noise.randbytes(size // 2) + (b"%d " % i * size)[:size - size // 2])


def put(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        os.close(fd)


def noise_file(path, size):
    with open(path, "wb") as f:
        while size > 0:
            f.write(os.urandom(min(size, 1 << 20)))
            size -= 1 << 20

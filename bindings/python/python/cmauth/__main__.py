"""`python -m cmauth`: runs the command if it is not on the PATH."""

from cmauth._cli import main

if __name__ == "__main__":
    main()

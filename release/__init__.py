"""What a release is made of: wheel, sdist, Debian packages, image, and the checks of each."""

//! The CameraManager login for Python.

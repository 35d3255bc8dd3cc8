"""The Python web server again, with every object from malloc and none from Python's own pools."""
import python_service


class Service(python_service.Service):
    name = "python-malloc"
    settings = {"PYTHONMALLOC": "malloc"}

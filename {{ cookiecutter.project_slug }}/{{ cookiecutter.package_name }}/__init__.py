"""{{ cookiecutter.description | escaped }}"""

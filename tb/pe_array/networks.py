def check(model, images, parameters):
    pass
